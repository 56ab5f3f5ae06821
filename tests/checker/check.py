#!/usr/bin/env python3
"""Checks an archive of Lianxin without any of Lianxin's code, and the golden vectors.

Written from protocol/SPEC.md alone, so that a mistake in the program is not repeated here. It needs Python 3.9 and
two libraries: `pip install cryptography blake3`.

    check.py ARCHIVE [--network ID]    prints one JSON object as `lianxin verify` does; exit 0 good, 2 bad
    check.py --vectors DIRECTORY       compares tests/vectors with what SPEC says they are

Here stands whether what is there was signed, and by whom; counts.py judges what of it counts.
Memory does not grow with the archive, but for the orders, and for where each log and each change stands.
"""

import argparse
import hashlib
import json
import pathlib
import sys

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

# SPEC, section 20.
RUN_MAX, CHANGE_MAX, PAYLOAD_MAX = 64, 262_144, 65_536
HEADER_LEN, EXTENSION_MAX = 109, 256
EXCEPTIONS_MAX, FORK_HEADERS_MAX = 256, 64
NAME_MAX, SCOPES_MAX, PLACES_MAX, ADDRESSES_MAX = 200, 64, 880, 8
SPACES_MAX, LOGS_MAX = 16_384, 131_072
ITEM_MAX, CITED_MAX = 263_168, 1 << 20
BAD_MAX = 1_000

ORDER = 2**252 + 27742317777372353535851937790883648493
PRIME = 2**255 - 19
# y coordinates of the points of small order: of orders 4, 1, 2, 8 and 8.
SMALL = {0, 1, PRIME - 1} | {
    int.from_bytes(bytes.fromhex(y), "little")
    for y in (
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
}


class Broken(Exception):
    """The form of the bytes is broken: reading stops."""


class NoArchive(Exception):
    """Not an archive, or not one of version 1."""


def derive(context, *parts):
    hasher = blake3(derive_key_context="lianxin 1 " + context)
    for part in parts:
        hasher.update(part)
    return hasher.digest()


def small_order(point):
    return (int.from_bytes(point, "little") & (2**255 - 1)) % PRIME in SMALL


def signed(key, context, message, signature):
    """The strict check of SPEC, section 3."""
    if small_order(key) or small_order(signature[:32]):
        return False
    if int.from_bytes(signature[32:], "little") >= ORDER:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, derive(context, message))
    except (InvalidSignature, ValueError):
        return False
    return True


class Bytes:
    """Reads values of SPEC, section 1, and remembers where it is."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count > len(self.data) - self.at:
            raise Broken("the bytes end too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, width):
        return int.from_bytes(self.take(width), "big")

    def flag(self):
        value = self.number(1)
        if value > 1:
            raise Broken("a flag that is neither 0 nor 1")
        return value == 1

    def count(self, most, width):
        value = self.number(4)
        if value > most or value * width > len(self.data) - self.at:
            raise Broken("a count beyond its bound")
        return value

    def place(self):
        return (self.take(32), self.number(8), self.take(32)) if self.flag() else None

    def rest(self):
        return self.take(len(self.data) - self.at)

    def end(self):
        if self.at != len(self.data):
            raise Broken("bytes after the end")


class Header:
    """SPEC, section 4."""

    def __init__(self, reader):
        begin = reader.at
        self.version, length = reader.number(1), reader.number(2)
        if not HEADER_LEN <= length <= HEADER_LEN + EXTENSION_MAX:
            raise Broken("a header length out of bounds")
        self.kind, self.flags, self.seq = reader.number(1), reader.number(1), reader.number(8)
        self.prev, self.record, self.hlc = reader.take(32), reader.take(16), reader.number(8)
        self.authority_len, self.payload_len = reader.number(4), reader.number(4)
        self.digest, self.extension = reader.take(32), reader.take(length - HEADER_LEN)
        self.bytes = reader.data[begin : reader.at]
        self.id = derive("entry id", self.bytes)

    def goes_on(self):
        return bool(self.flags & 0b1000)

    def bounded(self):
        return self.payload_len <= (CHANGE_MAX if self.kind == 2 else PAYLOAD_MAX)

    def fits(self, payload):
        """SPEC, section 5."""
        mode = self.flags & 0b11
        if len(payload) != self.payload_len:
            return False
        if mode == 3:
            return True
        if digest(mode, payload) != self.digest:
            return False
        return mode != 2 or payload[:8] == b"\x85\x6f\x4a\x83" + self.digest[:4]


def after(seq):
    """The place after this one; there is none after the last that eight bytes can name."""
    return min(seq + 1, 2**64 - 1)


def digest(mode, payload):
    if mode == 2:
        return hashlib.sha256(payload[8:]).digest()
    return derive("salted part digest" if mode == 1 else "payload digest", payload)


class Checkpoint:
    """SPEC, section 7. `position` is (length, head) where that is not written."""

    def __init__(self, reader, position=None):
        self.len, self.head = position or (reader.number(8), reader.take(32))
        self.authority_len, self.authority_head = reader.number(4), reader.take(32)
        self.hlc, self.signature = reader.number(8), reader.take(64)

    def holds(self, space, log, device):
        body = space + log + self.len.to_bytes(8, "big") + self.head
        body += self.authority_len.to_bytes(4, "big") + self.authority_head + self.hlc.to_bytes(8, "big")
        return signed(device, "checkpoint signature", body, self.signature)


class Certificate:
    """SPEC, section 11."""

    def __init__(self, reader):
        begin = reader.at
        self.version, self.root, self.authority = reader.number(4), reader.take(32), reader.take(32)
        self.trusted = reader.place()
        self.body, self.signature = reader.data[begin : reader.at], reader.take(64)

    def holds(self, network):
        named = derive("network id", self.root) == network
        return named and signed(self.root, "root certificate", self.body, self.signature)


class Receipt:
    """SPEC, section 14."""

    def __init__(self, reader):
        begin = reader.at
        self.space, self.log, self.epoch = reader.take(32), reader.take(32), reader.take(16)
        self.stored = (reader.number(8), reader.take(32))
        judged, floor = reader.number(8), 0
        for _ in range(reader.count(EXCEPTIONS_MAX, 17)):
            first, end, reason = reader.number(8), reader.number(8), reader.number(1)
            if first >= end or first < floor:
                raise Broken("ranges out of order")
            if reason == 0:
                raise Broken("an unknown reason")
            floor = end
        if judged > self.stored[0]:
            raise Broken("more judged than stored")
        self.received_ms = reader.number(8)
        self.body, self.signature = reader.data[begin : reader.at], reader.take(64)
        reader.end()


class Fork:
    """SPEC, section 9."""

    def __init__(self, reader):
        self.space, self.device, self.log = reader.take(32), reader.take(32), reader.take(32)
        self.branches = []
        for _ in range(2):
            headers = [Header(reader) for _ in range(reader.count(FORK_HEADERS_MAX, HEADER_LEN))]
            end = (after(headers[-1].seq), headers[-1].id) if headers else (0, self.log)
            self.branches.append((headers, Checkpoint(reader, end)))
        reader.end()

    def position(self):
        """What precedes the fork, if the proof holds."""
        if not all(headers for headers, _ in self.branches):
            return None
        left, right = (headers[0] for headers, _ in self.branches)
        if (left.seq, left.prev) != (right.seq, right.prev) or left.id >= right.id:
            return None
        for headers, checkpoint in self.branches:
            for one, next_one in zip(headers, headers[1:]):
                if next_one.prev != one.id or next_one.seq != after(one.seq):
                    return None
            if not checkpoint.holds(self.space, self.log, self.device):
                return None
        return (left.seq, left.prev)


class Order:
    """SPEC, section 11: the orders whose bytes others must agree on to fold alike."""

    def __init__(self, data):
        reader = Bytes(data)
        self.tag = reader.number(1)
        if self.tag == 1:
            self.certificate = Certificate(reader)
            self.version, self.root = self.certificate.version, self.certificate.root
            self.authority = self.certificate.authority
        elif self.tag == 2:
            self.name, self.district = name(reader), name(reader)
        elif self.tag == 3:
            self.site, self.code, self.name, self.kind = reader.take(16), name(reader), name(reader), reader.number(1)
        elif self.tag == 4:
            self.serial, self.device, self.recipient = reader.number(4), reader.take(32), reader.take(32)
            self.site = reader.take(16) if reader.flag() else None
            self.role, self.device_code = reader.number(1), name(reader)
            self.scopes = [scope(reader) for _ in range(reader.count(SCOPES_MAX, 18))]
            self.bytes_per_day, self.places = reader.number(8), places(reader)
        elif self.tag == 5:
            self.device, self.lost, self.cuts = reader.take(32), bool(reader.flag()), places(reader)
        elif self.tag == 6:
            self.device = reader.take(32)
        elif self.tag == 7:
            self.log = reader.take(32)
            setattr(self, "from", reader.number(8))
            self.to = {"len": reader.number(8), "head": reader.take(32)}
        elif self.tag == 8:
            self.log, self.seq = reader.take(32), reader.number(8)
        elif self.tag == 9:
            self.old, self.new, self.by_old, self.by_new = (reader.take(size) for size in (32, 32, 64, 64))
            self.places = places(reader)
        elif self.tag == 10:
            self.name, self.value = name(reader), name(reader)
        elif self.tag == 11:
            self.key, self.site = reader.take(32), reader.take(16) if reader.flag() else None
            self.role, self.device_code, self.expires_ms = reader.number(1), name(reader), reader.number(8)
        elif self.tag == 12:
            self.key, self.device = reader.take(32), reader.take(32)
        elif self.tag == 13:
            self.log, self.at = reader.take(32), {"len": reader.number(8), "head": reader.take(32)}
        elif self.tag == 14:
            self.epoch = reader.take(16)
        elif self.tag == 15:
            self.key = reader.take(32)
        elif self.tag == 16:
            self.addresses = [name(reader) for _ in range(reader.count(ADDRESSES_MAX, 1))]
        else:
            return
        reader.end()


def name(reader):
    data = reader.take(reader.count(NAME_MAX, 1))
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Broken("text that is not UTF-8") from None


def scope(reader):
    space, argument, verbs = reader.number(1), reader.take(16), reader.number(1)
    if space in (0, 1, 3, 4) and any(argument):
        raise Broken("a scope with an argument that it does not take")
    return {"space": space, "verbs": verbs} | ({"argument": argument} if any(argument) else {})


def places(reader):
    found = []
    for _ in range(reader.count(PLACES_MAX, 72)):
        log = reader.take(32)
        if found and found[-1]["log"] >= log:
            raise Broken("logs out of order")
        found.append({"log": log, "at": {"len": reader.number(8), "head": reader.take(32)}})
    return found


def as_shown(value):
    """As the vectors' inputs show it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: as_shown(it) for key, it in value.items()}
    return [as_shown(it) for it in value] if isinstance(value, list) else value


def genesis_fits(payload, space, device, incarnation):
    """SPEC, section 6."""
    try:
        reader = Bytes(payload)
        stated = (reader.take(32), reader.take(32), reader.take(16))
        reader.place()
        reader.take(1 + 32)
        reader.end()
    except Broken:
        return False
    return stated == (space, device, incarnation) and not small_order(device)


class Log:
    """One log as the archive tells it."""

    def __init__(self, space, device, incarnation):
        self.space, self.device, self.incarnation = space, device, incarnation
        self.id = derive("log id", space, device, incarnation)
        self.end, self.floor = (0, self.id), 0
        self.open, self.offsets, self.broken, self.begun = [], [], False, False
        self.receipt = self.fork = self.frozen = None  # [position, whether the entries have confirmed it]
        self.seen_receipt = self.seen_fork = False
        self.story = None  # of the authority space
        # For counts.py: where its first entry stands, and what its genesis cites of the authority log.
        self.offset, self.cites = 0, (0, bytes(32))

    def run(self, checkpoint):
        """Why the open entries are no run, or None; then also where each ends."""
        (length, head), floor, ends = self.end, self.floor, []
        if not 1 <= len(self.open) <= RUN_MAX:
            return "a run has 1 to 64 entries", []
        genesis_payload = self.open[0][1] if length == 0 else None
        if genesis_payload is not None and self.open[0][0].kind == 1:
            if not genesis_fits(genesis_payload, self.space, self.device, self.incarnation):
                return "the log does not begin with its genesis", []
        for header, payload in self.open:
            if header.seq != length:
                return f"entry {length} is not at its place in the log", []
            if header.prev != head:
                return f"entry {length} does not follow the one before it", []
            if header.authority_len < floor:
                return f"entry {length} cites less of the authority log than the one before it", []
            if (header.kind == 1) != (length == 0):
                return "the log does not begin with its genesis", []
            if not header.bounded() or (payload is not None and not header.fits(payload)):
                return f"the payload of entry {length} is not the one that its header names", []
            floor, length, head = header.authority_len, length + 1, header.id
            ends.append((length, head))
        if self.open[-1][0].goes_on():
            return "the run ends inside a save", []
        if (checkpoint.len, checkpoint.head) != (length, head):
            return "the checkpoint is for another position", []
        if not checkpoint.holds(self.space, self.id, self.device):
            return "the checkpoint's signature does not hold", []
        if checkpoint.authority_len < floor:
            return "the checkpoint cites less of the authority log than its entries", []
        self.floor, self.end = floor, (length, head)
        return None, ends

    def tip(self):
        forked = self.fork is not None and self.fork[1]
        stated = forked and self.frozen[1]
        return (self.frozen[0] if stated else self.end) + (forked,)


class Story:
    """What a log of the authority space says: its certificate, and ids, kinds and orders of its entries."""

    def __init__(self):
        self.certificate, self.ids, self.entries, self.forked = None, [], [], None


class Audit:
    """SPEC, section 19."""

    def __init__(self, network):
        self.pinned, self.network, self.key, self.certificate = network, None, None, None
        self.found = {name: 0 for name in ("logs", "entries", "absent", "checkpoints", "receipts", "forks")}
        self.bad, self.unsaid = [], 0
        self.stories, self.cited, self.earlier, self.parted = {}, [], [], None
        # For counts.py: the logs, (record, index of the log, seq, offset) of each change, and the orders to be folded.
        self.known, self.changes, self.orders, self.succession, self.at = [], [], [], [], 0
        self.spaces, self.last_space, self.space, self.tips, self.log = 0, None, None, {}, None

    def say(self, what):
        if len(self.bad) < BAD_MAX:
            self.bad.append(what)
        else:
            self.unsaid += 1

    def say_log(self, what):
        self.say(f"log {self.log.id[:8].hex()}: {what}")

    def item(self, kind, body):
        reader = Bytes(body)
        names = {1: "head", 2: "space", 3: "log", 4: "receipt", 5: "fork", 6: "entry", 7: "checkpoint", 8: "digest"}
        if kind not in names:
            raise Broken("an item of an unknown type")
        value = getattr(self, "read_" + names[kind])(reader)
        reader.end()
        if self.network is None and kind != 1:
            raise Broken("an archive begins with its head")
        if self.network is not None and kind == 1:
            raise Broken("a second head")
        if kind == 2 and self.space is not None:
            raise Broken("a space inside a space")
        if kind > 2 and self.space is None:
            raise Broken("an item outside of a space")
        if 4 <= kind <= 7 and self.log is None:
            raise Broken("an item outside of a log")
        getattr(self, "take_" + names[kind])(value)

    def read_head(self, reader):
        head = (reader.take(32), Certificate(reader))
        reader.take(32 + 16 + 8)
        return head

    def take_head(self, head):
        self.network, self.certificate = head
        if self.pinned not in (None, self.network):
            self.say(f"the archive is of network {self.network.hex()}")
        if self.certificate.holds(self.network):
            self.key = self.certificate.authority
        else:
            self.say("the hub's key is not certified by the network's root")

    def read_space(self, reader):
        space = (reader.number(1), reader.take(16))
        if space[0] > 3 or (space[0] != 2 and space[1] != bytes(16)):
            raise Broken("a space that there is not")
        return space

    def take_space(self, space):
        self.spaces += 1
        if self.last_space is not None and self.last_space >= space:
            raise Broken("spaces out of order")
        if self.spaces > SPACES_MAX:
            raise Broken("more spaces than a network has")
        self.last_space = space
        self.space, self.tips = derive("space id", self.network, bytes([space[0]]), space[1]), {}

    def read_log(self, reader):
        return (reader.take(32), reader.take(16))

    def take_log(self, named):
        self.close_log()
        log = Log(self.space, *named)
        if self.tips and max(self.tips) >= log.id:
            raise Broken("logs out of order")
        if len(self.tips) >= LOGS_MAX:
            raise Broken("more logs than a space has")
        self.log = log
        self.known.append(log)
        self.found["logs"] += 1
        if self.last_space[0] == 0:
            log.story = Story()

    read_receipt = staticmethod(Receipt)

    def take_receipt(self, receipt):
        log = self.log
        if log.begun or log.seen_receipt or log.seen_fork:
            raise Broken("a receipt at the wrong place")
        log.seen_receipt = True
        keys = [self.key, *self.earlier] if self.key is not None else []
        holds = any(signed(key, "receipt signature", receipt.body, receipt.signature) for key in keys)
        if not holds or (receipt.space, receipt.log) != (log.space, log.id):
            return self.say_log("its receipt does not hold")
        log.receipt = [receipt.stored, False]
        self.meet([log.end])

    @staticmethod
    def read_fork(reader):
        """The proof, and how far the log counts."""
        body = Bytes(reader.rest())
        proof = Fork(Bytes(body.take(max(0, len(body.data) - 40))))
        return proof, (body.number(8), body.take(32))

    def take_fork(self, item):
        (proof, tip), log = item, self.log
        if log.begun or log.seen_fork:
            raise Broken("a fork proof at the wrong place")
        log.seen_fork = True
        position = proof.position()
        if position is None or tip[0] < position[0] or (proof.space, proof.device, proof.log) != (log.space, log.device, log.id):
            return self.say_log("its fork proof does not hold")
        log.fork, log.frozen = [position, False], [tip, False]
        self.meet([log.end])

    def meet(self, ends):
        """Entries end here: what receipt and proof state of these places is confirmed."""
        for stated, name in ((self.log.receipt, "receipts"), (self.log.fork, "forks"), (self.log.frozen, None)):
            if stated is not None and not stated[1] and stated[0] in ends:
                stated[1] = True
                if name is not None:
                    self.found[name] += 1

    def read_entry(self, reader):
        present = reader.flag()
        header = Header(reader)
        return (header, reader.rest() if present else None)

    def take_entry(self, entry):
        self.log.begun = True
        if self.log.broken:
            return
        self.log.open.append(entry)
        self.log.offsets.append(self.at)
        if len(self.log.open) > RUN_MAX:
            self.break_log("a run has 1 to 64 entries")

    def break_log(self, why):
        self.log.broken, self.log.open, self.log.offsets = True, [], []
        self.say(f"log {self.log.id[:8].hex()} from entry {self.log.end[0]}: {why}")

    read_checkpoint = staticmethod(Checkpoint)

    def take_checkpoint(self, checkpoint):
        log = self.log
        log.begun = True
        if log.broken:
            return
        why, ends = log.run(checkpoint)
        if why is not None:
            return self.break_log(why)
        self.found["checkpoints"] += 1
        self.found["entries"] += len(log.open)
        self.found["absent"] += sum(payload is None for _, payload in log.open)
        self.meet(ends)
        if log.story is not None:
            self.tell(log, ends)
        self.note(log)
        log.open, log.offsets = [], []
        if self.last_space[0] == 0:
            return
        at = checkpoint.authority_len
        seen = [ids[at - 1 - begin] for begin, ids in self.cited if begin < at <= begin + len(ids)]
        if at == 0:
            seen = [bytes(32)]
        if (self.parted is None or at <= self.parted) and seen and checkpoint.authority_head not in seen:
            self.say_log(f"the checkpoint at {checkpoint.len} cites another authority log")

    def note(self, log):
        """Where the changes of a run stand, and at its start under which orders the log was begun."""
        (first, genesis), index = log.open[0], len(self.known) - 1
        if first.seq == 0:
            log.offset = log.offsets[0]
            if genesis is not None:
                log.cites = (first.authority_len, genesis[-32:])
        for (header, _), offset in zip(log.open, log.offsets):
            if header.kind == 2:
                self.changes.append((header.record, index, header.seq, offset))

    def tell(self, log, ends):
        """Entries of an authority log: its second is the certificate, and all are what others cite."""
        for header, payload in log.open:
            if header.seq == 1 and header.kind == 7:
                log.story.certificate = self.certified(log.device, payload)
        told = sum(len(story.ids) for story in self.stories.values()) + len(log.story.ids)
        for (header, payload), (_, head) in list(zip(log.open, ends))[: max(0, CITED_MAX - told)]:
            if header.seq == 1 and payload is None and log.story.certificate is not None:
                payload = b"\x01" + log.story.certificate.body + log.story.certificate.signature
            log.story.ids.append(head)
            log.story.entries.append((log.device, head, header.kind, payload if header.kind == 7 else None))

    def certified(self, device, payload):
        """SPEC, section 11: the certificate in a log's second entry, if it holds and names the device."""
        certificate = self.certificate
        if payload is not None:
            try:
                reader = Bytes(payload)
                if reader.number(1) != 1:
                    return None
                certificate = Certificate(reader)
                reader.end()
            except Broken:
                return None
        return certificate if certificate.authority == device and certificate.holds(self.network) else None

    def settle(self):
        """SPEC, section 11, succession: in which order the authority logs are folded, and from which counts on."""
        if not self.stories:
            return
        versions = {log: story.certificate.version for log, story in self.stories.items()}
        newest = [log for log, version in versions.items() if version == max(versions.values())]
        if len(newest) > 1:
            return self.say("the network has two authority logs of one version")
        order, last = [(newest[0], None)], self.stories[newest[0]].certificate
        stated = (self.certificate.body, self.certificate.signature)
        wrong = (last.body, last.signature) != stated
        while last.trusted is not None:
            named, length, head = last.trusted
            if versions.get(named, last.version) >= last.version:
                return self.say(f"authority log {named.hex()}, which is trusted, is not here")
            order.insert(0, (named, (length, head)))
            last = self.stories[named].certificate
        if wrong:
            self.say("the newest authority log does not have the certificate")
        begin, self.succession, unbroken = 0, order, True
        for log, trusted in order:
            story, (length, head) = self.stories[log], trusted or (0, None)
            self.earlier.append(story.certificate.authority)
            reached = length == 0 or story.ids[length - 1 : length] == [head]
            if not reached:
                self.say(f"authority log {log.hex()} does not reach its trusted end")
            self.cited.append((begin, story.ids))
            if story.forked is not None:
                # From there on the hub has told two stories, and either was seen.
                self.parted = min(begin + story.forked, self.parted or begin + story.forked)
            begin += length
            # A fork stops the fold, but for what the root key trusts; so does an end that is not here.
            held = len(story.ids) if story.forked is None else story.forked
            if unbroken:
                self.orders += story.entries[: (length if reached else min(held, length)) if trusted else held]
            unbroken = unbroken and reached

    def close_log(self):
        log = self.log
        if log is None:
            return
        if log.open:
            self.say_log("entries without a checkpoint")
        for stated, name in ((log.receipt, "receipt"), (log.fork, "fork proof")):
            if stated is not None and not stated[1]:
                self.say_log(f"its {name} is for entries that are not here")
        if log.frozen is not None and log.fork[1] and not log.frozen[1]:
            self.say_log("it is said to count further than its entries here")
        self.tips[log.id], self.log = log.tip(), None
        if log.story is None:
            return
        log.story.forked = log.fork[0][0] if log.fork is not None and log.fork[1] else None
        if log.story.certificate is not None:
            self.stories[log.id] = log.story
        elif log.end[0] > 1 and log.device == self.key:
            self.say(f"log {log.id[:8].hex()}: its second entry is not the certificate")

    def read_digest(self, reader):
        return reader.take(32)

    def take_digest(self, stated):
        self.close_log()
        if space_digest(self.tips) != stated:
            self.say(f"space {self.space[:8].hex()}: its digest does not fit its logs")
        if self.last_space[0] == 0:
            self.settle()
        self.space = None

    def read(self, file):
        """Items up to the end mark; gives nothing back, it says what is bad."""
        start = file.read(18)
        if len(start) < 16 or start[:16] != b"lianxin archive\n":
            raise NoArchive("this is not an archive")
        if start[16:] != b"\x00\x01":
            if len(start) == 18:
                raise NoArchive("the archive is of another version")
            raise NoArchive("this is not an archive")
        hasher = blake3(derive_key_context="lianxin 1 archive").update(start)
        items, at = 0, 18
        try:
            while True:
                head = file.read(5)
                length = int.from_bytes(head[1:], "big")
                if len(head) == 5 and length > ITEM_MAX:
                    raise Broken("an item beyond its bound")
                body = file.read(length) if len(head) == 5 else b""
                if len(head) < 5 or len(body) < length:
                    raise Broken("the archive ends too early")
                if head[0] == 255:
                    if body != items.to_bytes(8, "big") + hasher.digest():
                        raise Broken("the end mark does not fit what stands before it")
                    at += 5 + length
                    if file.read(1):
                        raise Broken("bytes after the end")
                    break
                self.at = at
                self.item(head[0], body)
                hasher.update(head).update(body)
                items, at = items + 1, at + 5 + length
            if self.network is None:
                self.say("the archive is empty")
            elif self.space is not None:
                self.say("the archive ends inside a space")
        except Broken as broken:
            self.say(f"byte {at}: {broken}")
        if self.unsaid:
            self.bad.append(f"and {self.unsaid} more")


def space_digest(tips):
    """SPEC, section 16: `tips` are (length, head, frozen) by log."""
    rows = b""
    for log, (length, head, frozen) in sorted(tips.items()):
        if length or frozen:
            rows += log + bytes(8) + length.to_bytes(8, "big") + head + bytes([frozen])
    return derive("space digest", rows)


# ---- golden vectors ----


def check_digits(text):
    """SPEC, section 18."""
    value = "".join(str(int(c, 36)) for c in text if c != "-")
    return f"{98 - int(value) * 100 % 97:02}"


def vectors(folder):
    """Compares the vectors of hash, identity, log, authority, receipt and number with what SPEC says; gives the differences."""
    bad, compared = [], 0
    area = lambda name: json.loads((folder / f"{name}.json").read_text())["vectors"]
    find = lambda name, vector: next(it for it in area(name) if it["name"] == vector)
    raw = bytes.fromhex

    def expect(name, now, then):
        nonlocal compared
        compared += 1
        if now != then:
            bad.append(f"{name}: {now!r} is not {then!r}")

    for vector in area("hash"):
        into = vector["input"]
        hashed = blake3(raw(into["message"]), derive_key_context=into["context"]).hexdigest()
        expect("hash/" + vector["name"], hashed, vector["bytes"])
    public = lambda key: key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    for vector in area("identity"):
        into, name, want = vector["input"], vector["name"], vector["bytes"]
        got = want
        if name == "device-key":
            got = public(Ed25519PrivateKey.from_private_bytes(raw(into["seed"]))).hex()
        elif name == "signature":
            key = Ed25519PrivateKey.from_private_bytes(raw(into["seed"]))
            got = key.sign(blake3(raw(into["message"]), derive_key_context=into["context"]).digest()).hex()
            holds = signed(public(key), into["context"][10:], raw(into["message"]), raw(want))
            expect("identity/signature verifies", holds, True)
        elif name == "network-id":
            got = derive("network id", raw(into["root_key"])).hex()
        elif name.startswith("space-"):
            got = derive("space id", raw(into["network"]), bytes([into["kind"]]), raw(into["site"])).hex()
        elif name == "log-id":
            got = derive("log id", raw(into["space"]), raw(into["device"]), raw(into["incarnation"])).hex()
        elif name == "actor":
            got = derive("automerge actor", raw(into["log"]))[:16].hex()
        elif name == "record":
            bits = int.from_bytes(derive("record id", raw(into["log"]), into["seq"].to_bytes(8, "big"))[:10], "big") >> 6
            number = into["unix_ms"] << 80 | 7 << 76 | bits >> 62 << 64 | 2 << 62 | bits & (1 << 62) - 1
            got = number.to_bytes(16, "big").hex()
        elif name == "invite-key":
            got = public(Ed25519PrivateKey.from_private_bytes(derive("invite key", raw(into["bits"])))).hex()
        elif name == "invite-code":
            number, letters = int(into["bits"], 16), "0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U"
            text = "".join(letters[number >> 5 * place & 31] for place in range(15, -1, -1))
            groups = [text[at : at + 4] for at in range(0, 16, 4)] + [letters[number % 37]]
            got = "-".join(groups).encode().hex()
        elif name == "four-words":
            got = derive("four words", raw(into["exporter"]), raw(into["device"]), raw(into["hub"])).hex()
        expect("identity/" + name, got, want)
    for vector in area("log"):
        into, name, data = vector["input"], vector["name"], raw(vector["bytes"])
        if name.startswith("header-"):
            header = Header(Bytes(data))
            for field, value in into.items():
                read = getattr(header, field)
                shown = read.hex() if isinstance(read, bytes) else str(read) if field == "hlc" else read
                expect(f"log/{name} {field}", shown, value)
        elif name.startswith("digest-"):
            mode = {"digest-plain": 0, "digest-salted": 1, "digest-change": 2}[name]
            expect("log/" + name, digest(mode, raw(into["payload"])).hex(), data.hex())
        elif name == "entry-id":
            expect("log/" + name, derive("entry id", raw(into["header"])).hex(), data.hex())
        elif name.startswith("genesis"):
            parts = raw(into["space"]), raw(into["device"]), raw(into["incarnation"])
            expect(f"log/{name} fits", genesis_fits(data, *parts), True)
        elif name == "checkpoint":
            checkpoint = Checkpoint(Bytes(data), (into["len"], raw(into["head"])))
            holds = checkpoint.holds(raw(into["space"]), raw(into["log"]), raw(into["device"]))
            expect("log/checkpoint holds", holds, True)
        elif name == "fork-proof":
            expect("log/fork-proof holds", Fork(Bytes(data)).position()[0], into["seq"])
    for vector in area("receipt"):
        if vector["name"] == "arrivals":
            reader = Bytes(raw(vector["bytes"]))
            for it in vector["input"][: reader.count(800, 80)]:
                got = reader.take(32).hex(), reader.number(8), reader.take(32).hex(), reader.number(8)
                expect("receipt/arrivals", got, (it["log"], it["len"], it["head"], it["received_at_ms"]))
            reader.end()
            continue
        receipt = Receipt(Bytes(raw(vector["bytes"])))
        key = raw(vector["input"]["authority"])
        holds = signed(key, "receipt signature", receipt.body, receipt.signature)
        expect("receipt/" + vector["name"], holds, True)
    into = find("message", "space-digest")
    tips = {raw(it["log"]): (it["len"], raw(it["head"]), it["frozen"]) for it in into["input"]["logs"]}
    expect("message/space-digest", space_digest(tips).hex(), into["bytes"])
    for vector in area("authority"):
        name, data = "authority/" + vector["name"], raw(vector["bytes"])
        order = Order(data)
        for field, value in vector["input"].items():
            if hasattr(order, field):
                expect(f"{name} {field}", as_shown(getattr(order, field)), value)
        if order.tag == 1:
            expect(name, order.certificate.holds(derive("network id", order.certificate.root)), True)
        if order.tag == 9:
            signed_bytes = raw(vector["input"]["signed"])
            for key, signature in ((order.old, order.by_old), (order.new, order.by_new)):
                expect(name + " signature", signed(key, "key rotation", signed_bytes, signature), True)
    for vector in json.loads((folder / "authority.json").read_text())["refused"]:
        try:
            Order(raw(vector["bytes"]))
            expect("authority/" + vector["name"], "taken", "refused")
        except Broken:
            pass
    for vector in area("number"):
        text = vector["input"]["text"]
        expect("number/" + vector["name"], check_digits(text[:-3]), text[-2:])
    return compared, bad


def main():
    parser = argparse.ArgumentParser(description="Checks an archive of Lianxin, or the golden vectors.")
    parser.add_argument("archive", nargs="?")
    parser.add_argument("--network", help="the id that the archive must be of, 64 hexadecimal digits")
    parser.add_argument("--vectors", type=pathlib.Path, help="the folder tests/vectors")
    given = parser.parse_args()
    if given.vectors:
        compared, bad = vectors(given.vectors)
        print(json.dumps({"schema": "lianxin.vectors/1", "compared": compared, "bad": bad}, ensure_ascii=False))
        return 2 if bad else 0
    if not given.archive:
        parser.error("name an archive, or --vectors")
    # It reads with what stands here.
    import counts

    audit = Audit(bytes.fromhex(given.network) if given.network else None)
    try:
        with open(given.archive, "rb") as file:
            audit.read(file)
            counted = counts.judge(audit, file)
    except (NoArchive, OSError) as error:
        print(json.dumps({"schema": "lianxin.error/1", "code": "LX-5002", "message": str(error)}))
        return 2
    network = audit.network.hex() if audit.network else None
    reply = {"schema": "lianxin.verify/1", "network": network, **audit.found, **counted, "bad": audit.bad}
    print(json.dumps(reply, ensure_ascii=False))
    return 2 if audit.bad else 0


if __name__ == "__main__":
    sys.exit(main())
