"""Makes archives from nothing, in Python alone, and with every key at hand: one that is sound, and one for each way in
which somebody who has the keys could break a rule. What agree.py damages was signed by others; here the signatures fit.
"""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import check

RECORD = bytes.fromhex("01935f00000070008000000000000001")
TIME = 1_795_564_800_000 << 16


class Key:
    def __init__(self, seed):
        self.private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, context, body):
        return self.private.sign(check.derive(context, body))


ROOT, AUTHORITY, HUB, STATION = Key(1), Key(2), Key(3), Key(4)
NETWORK = check.derive("network id", ROOT.public)


def u(width, value):
    return value.to_bytes(width, "big")


class Log:
    """A log that is being written. Each entry can be given a field that is not what it should be."""

    def __init__(self, kind, site, key, incarnation=9):
        self.space = check.derive("space id", NETWORK, bytes([kind]), site)
        self.key, self.device, self.incarnation = key, key.public, bytes([incarnation]) * 16
        self.id = check.derive("log id", self.space, self.device, self.incarnation)
        self.len, self.head, self.cites, self.record = 0, self.id, 0, RECORD
        self.front, self.items = [], []

    def genesis(self, payload=None, **wrong):
        usual = self.space + self.device + self.incarnation + bytes(2 + 32)
        return self.entry(1, usual if payload is None else payload, **wrong)

    def entry(self, kind, payload, mode=0, flags=0, version=1, extension=b"", **wrong):
        fields = {"seq": self.len, "prev": self.head, "authority_len": self.cites, "payload_len": len(payload)}
        fields["digest"] = check.digest(mode, payload) if mode < 3 else bytes(32)
        fields.update(wrong)
        header = u(1, version) + u(2, 109 + len(extension)) + bytes([kind, mode | flags])
        header += u(8, fields["seq"]) + fields["prev"] + (self.record if kind in (2, 3) else bytes(16)) + u(8, TIME)
        header += u(4, fields["authority_len"]) + u(4, fields["payload_len"]) + fields["digest"] + extension
        self.items.append((6, b"\x01" + header + payload))
        self.len, self.head = self.len + 1, check.derive("entry id", header)
        return self

    def part(self):
        return self.entry(3, b"\x5a" * 16 + u(4, 1) + u(4, 4) + b"body" + u(4, 6) + "路灯".encode(), 1, 0b1100)

    def change(self, magic=b"\x85\x6f\x4a\x83", **wrong):
        rest = b"\x01\x04what"
        return self.entry(2, magic + check.hashlib.sha256(rest).digest()[:4] + rest, 2, **wrong)

    def checkpoint(self, cited=(0, bytes(32)), signature=None, **wrong):
        at = {"len": self.len, "head": self.head, **wrong}
        body = u(8, at["len"]) + at["head"] + u(4, cited[0]) + cited[1] + u(8, TIME)
        made = self.key.sign("checkpoint signature", self.space + self.id + body)
        self.items.append((7, body + (signature(made) if signature else made)))
        return self

    def receipt(self, stored=None, key=AUTHORITY, ranges=b"", log=None, judged=0):
        length, head = stored or (self.len, self.head)
        body = self.space + (log or self.id) + b"\xe0" * 16 + u(8, length) + head + u(8, judged)
        body += u(4, len(ranges) // 17) + ranges + u(8, TIME >> 16)
        self.front.append((4, body + key.sign("receipt signature", body)))
        return self

    def fork(self, at_seq, before, same=False, gap=0, key=None, tip=None):
        """A proof that two branches of two entries each leave this log."""
        branches, device = [], key.public if key else self.device
        for n in (1, 1 if same else 2):
            other = Log.__new__(Log)
            other.__dict__.update(self.__dict__, len=at_seq, head=before, items=[], key=key or self.key)
            other.entry(200, bytes([n])).entry(200, b"", prev=bytes(32) if gap else other.head).checkpoint()
            headers = [body[1:110] for kind, body in other.items if kind == 6]
            branches.append((check.derive("entry id", headers[0]), headers, other.items[-1][1][40:]))
        branches.sort()
        proof = self.space + device + self.id
        for _, headers, checkpoint in branches:
            proof += u(4, len(headers)) + b"".join(headers) + checkpoint
        length, head = tip or (at_seq, before)
        self.front.append((5, proof + u(8, length) + head))
        return self

    def all(self):
        return [(3, self.device + self.incarnation)] + self.front + self.items


def certificate(root=ROOT, version=1, key=AUTHORITY, trusted=None):
    place = b"\x00" if trusted is None else b"\x01" + trusted[0] + u(8, trusted[1]) + trusted[2]
    body = u(4, version) + ROOT.public + key.public + place
    return body + root.sign("root certificate", body)


def authority(incarnation=7, second=None, key=AUTHORITY):
    log = Log(0, bytes(16), key, incarnation).genesis()
    log.entry(7, b"\x01" + certificate() if second is None else second)
    return log.entry(7, b"\x02" + u(4, 6) + "示例".encode() + u(4, 4) + b"SLJD").checkpoint()


def station(key=STATION):
    return Log(2, b"\x51" * 16, key).genesis()


def items(stations, heads=None, made=None):
    """Everything in its order; digests are filled in by the caller."""
    logs = heads or [authority()]
    head = NETWORK + (made or certificate()) + HUB.public + b"\xe0" * 16 + u(8, TIME >> 16)
    found = [(1, head), (2, bytes(17))]
    for log in sorted(logs, key=lambda log: log.id):
        found += log.all()
    found += [(8, bytes(32)), (2, b"\x02" + b"\x51" * 16)]
    for log in sorted(stations, key=lambda log: log.id):
        found += log.all()
    return found + [(8, bytes(32))]


def raised(signature):
    """The same signature with S beyond the group order: lax checks take it."""
    return signature[:32] + (int.from_bytes(signature[32:], "little") + check.ORDER).to_bytes(32, "little")


def weak():
    """A log by the identity point, whose every signature is R = identity, S = 0 to a lax check."""
    log = Log.__new__(Log)
    log.__dict__.update(station().__dict__, device=b"\x01" + bytes(31), front=[], items=[])
    log.id = check.derive("log id", log.space, log.device, log.incarnation)
    log.len, log.head = 0, log.id
    log.genesis().checkpoint(signature=lambda _: b"\x01" + bytes(63))
    # Without its genesis, which would give the key away before any signature is looked at.
    log.items[0] = (6, b"\x00" + log.items[0][1][1:110])
    return log


def cases():
    """Name, items, and whether they are good."""
    full = lambda: station().part().change()
    ends = authority()
    cited = (ends.len, ends.head)
    first = authority()
    genesis_id = station().head
    other = u(8, 0) + u(8, 1) + bytes([200])
    yield "sound", items([full().checkpoint(cited).receipt()]), True
    yield "two runs", items([full().checkpoint().part().change().checkpoint(cited)]), True
    yield "newer header", items([station().entry(200, b"x", version=9, extension=b"abc").checkpoint()]), True
    yield "newer digest", items([station().entry(200, b"x", mode=3).checkpoint()]), True
    yield "newer reason", items([full().checkpoint().receipt(ranges=other)]), True
    yield "receipt in the middle", items([station().receipt().part().change().checkpoint()]), True
    yield "receipt of nothing", items([full().receipt((0, full().id)).checkpoint()]), True
    yield "cites beyond", items([full().checkpoint((9, b"\x07" * 32))]), True
    yield "frozen", items([full().fork(1, genesis_id).checkpoint()]), True
    yield "frozen at its end", items([full().checkpoint().fork(3, full().head)]), True
    yield "frozen at its start", items([full().fork(0, full().id).checkpoint()]), True
    yield "no authority log", items([full().checkpoint()], [Log(0, bytes(16), STATION).genesis().checkpoint()]), True
    yield "64 entries", items([crowd(64).checkpoint()]), True

    yield "65 entries", items([crowd(65).checkpoint()]), False
    yield "no checkpoint", items([full().checkpoint().part().change()]), False
    yield "two checkpoints", items([full().checkpoint().checkpoint()]), False
    yield "wrong number", items([station().part().change(seq=7).checkpoint()]), False
    yield "wrong link", items([station().part().change(prev=bytes(32)).checkpoint()]), False
    yield "split save", items([station().part().checkpoint()]), False
    yield "magic", items([station().part().change(magic=b"\x85\x6f\x4a\x84").checkpoint()]), False
    yield "payload length", items([station().entry(6, b"abc", payload_len=2).checkpoint()]), False
    yield "payload digest", items([station().entry(6, b"abc", digest=bytes(32)).checkpoint()]), False
    yield "long payload", items([station().entry(200, bytes(65_537)).checkpoint()]), False
    yield "long change", items([station().entry(2, bytes(262_145)).checkpoint()]), False
    yield "newer digest, wrong length", items([station().entry(200, b"x", mode=3, payload_len=2).checkpoint()]), False
    yield "no genesis", items([Log(2, b"\x51" * 16, STATION).entry(6, b"").checkpoint()]), False
    yield "genesis again", items([station().genesis().checkpoint()]), False
    empty = Log(2, b"\x51" * 16, STATION)
    yield "genesis of another", items([empty.genesis(bytes(32) + STATION.public + b"\x09" * 16 + bytes(34)).checkpoint()]), False
    longer = Log(2, b"\x51" * 16, STATION)
    usual = longer.space + longer.device + longer.incarnation
    yield "genesis with more", items([longer.genesis(usual + bytes(35)).checkpoint()]), False
    reason = Log(2, b"\x51" * 16, STATION)
    yield "genesis for a newer reason", items([reason.genesis(usual + b"\x00\x05" + bytes(32)).checkpoint()]), True
    headless = Log(2, b"\x51" * 16, STATION)
    yield "genesis without a head", items([headless.genesis(usual + bytes(2)).checkpoint()]), False
    shrunk = station()
    shrunk.cites = 2
    yield "cites less", items([shrunk.part().change(authority_len=1).checkpoint((2, first_ids()[1]))]), False
    yield "checkpoint cites less", items([shrunk_to(2).checkpoint((1, first_ids()[0]))]), False
    later = shrunk_to(2).checkpoint((2, first_ids()[1]))
    later.cites = 1
    yield "next run cites less", items([later.part().change().checkpoint((2, first_ids()[1]))]), False
    yield "second story", items([full().checkpoint((cited[0], b"\x07" * 32))]), False
    yield "story before the first", items([full().checkpoint((0, b"\x07" * 32))]), False
    yield "another length", items([full().checkpoint(len=9)]), False
    yield "another head", items([full().checkpoint(head=bytes(32))]), False
    yield "high S", items([full().checkpoint(signature=raised)]), False
    yield "weak key", items([weak()]), False
    yield "receipt by the hub's device", items([full().checkpoint().receipt(key=HUB)]), False
    yield "receipt of another log", items([full().checkpoint().receipt(log=bytes(32))]), False
    yield "receipt of another entry", items([full().checkpoint().receipt((3, bytes(32)))]), False
    yield "receipt beyond", items([full().checkpoint().receipt((4, full().head))]), False
    yield "receipt of nothing at all", items([full().checkpoint().receipt((0, bytes(32)))]), False
    yield "judged beyond stored", items([full().checkpoint().receipt(judged=4)]), False
    yield "reason zero", items([full().checkpoint().receipt(ranges=other[:16] + b"\x00")]), False
    yield "empty range", items([full().checkpoint().receipt(ranges=bytes(16) + b"\x01")]), False
    yield "ranges overlap", items([full().checkpoint().receipt(ranges=other + other)]), False
    whole = full().checkpoint()
    yield "frozen at a pin", items([full().fork(1, genesis_id, tip=(whole.len, whole.head)).checkpoint()]), True
    yield "frozen beyond its end", items([full().fork(1, genesis_id, tip=(9, whole.head)).checkpoint()]), False
    yield "frozen before its fork", items([full().fork(1, genesis_id, tip=(0, whole.id)).checkpoint()]), False
    yield "frozen elsewhere", items([full().fork(1, genesis_id, tip=(whole.len, genesis_id)).checkpoint()]), False
    yield "fork elsewhere", items([full().fork(2, genesis_id).checkpoint()]), False
    yield "fork beyond", items([full().fork(9, genesis_id).checkpoint()]), False
    yield "fork of one branch", items([full().fork(1, genesis_id, same=True).checkpoint()]), False
    yield "fork by another device", items([full().fork(1, genesis_id, key=HUB).checkpoint()]), False
    yield "fork with a gap", items([full().fork(1, genesis_id, gap=1).checkpoint()]), False
    yield "two authority logs", items([full().checkpoint()], [authority(), authority(8)]), False
    yield "certificate missing", items([full().checkpoint()], [authority(second=b"\x06" + bytes(32))]), False
    yield "another certificate", items([full().checkpoint()], [authority(second=b"\x01" + certificate(version=2))]), False
    yield "another root", items([full().checkpoint().receipt()], made=certificate(root=HUB)), False
    yield from successors(full, ends)
    assert first.head == ends.head


def successors(full, first):
    """What follows the first authority log, which is trusted to its second entry."""
    second = first_ids()[1]
    made = certificate(version=4, key=HUB, trusted=(first.id, 2, second))
    next_one = lambda made, incarnation=8: authority(incarnation, b"\x01" + made, HUB)
    both, after = [authority(), next_one(made)], next_one(made)
    told = lambda heads, cited, made=made: items([full().checkpoint(cited)], heads, made)
    yield "a successor", told(both, (5, after.head)), True
    yield "cites the first beyond its trusted end", told(both, (3, first.head)), True
    yield "a receipt of the first key", items([full().checkpoint((0, bytes(32))).receipt()], both, made), True
    yield "a receipt of another key", items([full().checkpoint((0, bytes(32))).receipt(key=STATION)], both, made), False
    yield "cites neither", told(both, (3, b"\x07" * 32)), False
    yield "cites a genesis out of its count", told(both, (2, after.id)), False
    yield "a successor without the first", told([next_one(made)], (0, bytes(32))), False
    yield "two successors", told(both + [next_one(made, 9)], (0, bytes(32))), False
    yield "the head has the first certificate", told(both, (0, bytes(32)), certificate()), False
    short = certificate(version=4, key=HUB, trusted=(first.id, 4, second))
    yield "trusted beyond its end", told([authority(), next_one(short)], (0, bytes(32)), short), False
    other = certificate(version=4, key=HUB, trusted=(first.id, 2, first.head))
    yield "trusted at another head", told([authority(), next_one(other)], (0, bytes(32)), other), False
    low = certificate(version=1, key=HUB, trusted=(first.id, 2, second))
    yield "no greater version", told([authority(), next_one(low)], (0, bytes(32)), low), False


def crowd(count):
    log = station()
    for _ in range(count - 1):
        log.entry(200, b"x")
    return log


def shrunk_to(cites):
    log = station()
    log.cites = cites
    return log.part().change()


def first_ids():
    return [check.derive("entry id", body[1:110]) for kind, body in authority().items if kind == 6]
