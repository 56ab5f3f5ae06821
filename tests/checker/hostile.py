"""Archives in which every byte is signed by who may sign, and some change does not count all the same: one for each way
in which a device of the network could break a rule of SPEC, sections 10 and 11, with its own keys.

Each says which entries do not count, and why, so that two judges who let everything pass do not agree their way through.
"""

import random

import check
import forge
from counts import prefix
from forge import AUTHORITY, HUB, STATION, Key, u

LAPTOP, THIEF = Key(5), Key(6)
SITE, OTHER_SITE = b"\x51" * 16, b"\x52" * 16
MAP, PUT, DELETE = 0, 1, 3
WRITES_SITE = [(2, SITE, 3)]
EVERYWHERE = [(1, bytes(16), 3), (3, bytes(16), 3), (4, bytes(16), 3)]


# ---- orders ----


def text(value):
    return u(4, len(value.encode())) + value.encode()


def places(*logs):
    """`logs` are (log, length); the head does not matter for a cut."""
    named = sorted((log.id, length) for log, length in logs)
    return u(4, len(named)) + b"".join(log + u(8, length) + bytes(32) for log, length in named)


def site(id, code):
    return b"\x03" + id + text(code) + text("测试站") + b"\x00"


def grant(serial, key, code, scopes, role=0, at=places()):
    made = b"".join(bytes([space]) + argument + bytes([verbs]) for space, argument, verbs in scopes)
    return b"\x04" + u(4, serial) + key.public + bytes(33) + bytes([role]) + text(code) + u(4, len(scopes)) + made + bytes(8) + at


def revoke(key, at=places(), lost=0):
    return b"\x05" + key.public + bytes([lost]) + at


def adopt(log, begin, length, head):
    return b"\x07" + log.id + u(8, begin) + u(8, length) + head


def rotate(old, new, at=places()):
    body = forge.NETWORK + old.public + new.public
    return b"\x09" + old.public + new.public + old.sign("key rotation", body) + new.sign("key rotation", body) + at


# ---- changes ----


def leb(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def sleb(value):
    out = bytearray()
    while not -64 <= value <= 63:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value & 0x7F])


def runs(values, write):
    """A column as Automerge writes it: equal neighbours in one run, the others one by one, and nothing if all are absent."""
    out, single = b"", []
    close = lambda: sleb(-len(single)) + b"".join(single) if single else b""
    at = 0
    while at < len(values):
        end = at
        while end < len(values) and values[end] == values[at]:
            end += 1
        if values[at] is not None and end - at == 1:
            single.append(write(values[at]))
        else:
            out, single = out + close(), []
            out += b"\x00" + leb(end - at) if values[at] is None else sleb(end - at) + write(values[at])
        at = end
    return b"" if all(it is None for it in values) else out + close()


def steps(values):
    return [now - before for before, now in zip([0] + values, values)]


def value_of(value):
    """Type and bytes of a value. What is (type, bytes) already is taken as it is."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, bool) or value is None:
        return (0 if value is None else 1 + value), b""
    if isinstance(value, int):
        return 4, sleb(value)
    return (6, value.encode()) if isinstance(value, str) else (7, value)


class Op:
    """`object` is None, a name (number, actor), or the index of the operation of this change that makes it."""

    def __init__(self, object, key, action, value=None, preds=()):
        self.object, self.key, self.action, self.value, self.preds = object, key, action, value, sorted(preds)


def frame(content, kind=1):
    """A chunk with this content, and its digest."""
    hashed = bytes([kind]) + leb(len(content)) + content
    digest = check.hashlib.sha256(hashed).digest()
    return b"\x85\x6f\x4a\x83" + digest[:4] + hashed, digest


def content(actor, seq, start, deps, ops, others=(), given=()):
    """A change's content. Actors are this one's and those that are named, in order; columns that are `given` are taken as they
    are, None for one that is left out."""
    objects = [(start + op.object, actor) if isinstance(op.object, int) else op.object for op in ops]
    names = [name for name in objects if name] + [name for op in ops for name in op.preds]
    others = sorted({by for _, by in names} - {actor} | set(others))
    index = lambda by: [actor, *others].index(by)
    values, preds = [value_of(op.value) for op in ops], [name for op in ops for name in op.preds]
    columns = {
        1: runs([name and index(name[1]) for name in objects], leb),
        2: runs([name and name[0] for name in objects], leb),
        21: runs([op.key.encode() if isinstance(op.key, str) else op.key for op in ops], lambda key: leb(len(key)) + key),
        52: leb(len(ops)) if ops else b"",
        66: runs([op.action for op in ops], leb),
        86: runs([kind | len(data) << 4 for kind, data in values], leb),
        87: b"".join(data for _, data in values),
        112: runs([len(op.preds) for op in ops], leb),
        113: runs([index(by) for _, by in preds], leb),
        115: runs(steps([number for number, _ in preds]), sleb),
    }
    columns = {spec: data for spec, data in columns.items() if data} | dict(given)
    columns = {spec: data for spec, data in sorted(columns.items()) if data is not None}
    out = leb(len(deps)) + b"".join(sorted(deps)) + leb(16) + actor + leb(seq) + leb(start) + b"\x00\x00"
    out += leb(len(others)) + b"".join(leb(16) + by for by in others)
    out += leb(len(columns)) + b"".join(leb(spec) + leb(len(data)) for spec, data in columns.items())
    return out + b"".join(columns.values())


class Made:
    """A change that was written."""

    def __init__(self, actor, start, ops, digest):
        self.actor, self.start, self.last, self.digest = actor, start, start + len(ops) - 1, digest

    def name(self, index):
        return (self.start + index, self.actor)


class Writer:
    """A log and what it writes into the scene's record."""

    def __init__(self, scene, key, incarnation=9, kind=2, site=SITE, cites=None):
        self.scene, self.log, self.seq = scene, forge.Log(kind, site, key, incarnation), 0
        self.where, self.cited = (kind, site), cites or (0, bytes(32))
        self.log.cites = self.cited[0]
        self.actor = check.derive("automerge actor", self.log.id)[:16]
        begun = self.log.space + self.log.device + self.log.incarnation
        self.log.genesis(begun + bytes(2) + self.cited[1])

    def write(self, ops, on=(), says=None, seq=None, start=None, deps=None, others=(), bend=None, record=None, given=()):
        """One change on others; `says` is why it does not count. `bend` changes the content's bytes."""
        self.seq = seq or self.seq + 1
        start = max((it.last for it in on), default=0) + 1 if start is None else start
        deps = [it.digest for it in on] if deps is None else deps
        made = content(self.actor, self.seq, start, deps, ops, others, given)
        raw, digest = frame(bend(made) if bend else made)
        self.put(raw, says, record)
        return Made(self.actor, start, ops, digest)

    def put(self, raw, says=None, record=None, absent=False, mode=2):
        self.log.record = record or self.scene.record
        if says is not None:
            self.scene.expected.add((self.log.id.hex(), self.log.len, says))
        self.log.entry(2, raw, mode)
        if absent:
            kind, body = self.log.items[-1]
            self.log.items[-1] = (kind, b"\x00" + body[1:110])
        if self.log.len % 60 == 0:
            self.log.checkpoint(self.cited)


class Scene:
    """A network of one site with a station, a laptop and the hub, and one record that the station founds."""

    def __init__(self, granted=True):
        self.expected, self.record, self.logs = set(), bytes(16), []
        self.certificate = forge.certificate()
        self.authority = forge.Log(0, bytes(16), AUTHORITY, 7).genesis().entry(7, b"\x01" + self.certificate)
        self.authorities = [self.authority]
        self.order(site(SITE, "EM1"))
        if granted:
            self.order(grant(1, STATION, "EM1A", WRITES_SITE))
            self.order(grant(2, LAPTOP, "EM1B", WRITES_SITE, role=1))
            self.order(grant(3, HUB, "HUB", EVERYWHERE, role=3))
        self.anna, self.bert, self.hub = (self.begin(key) for key in (STATION, LAPTOP, HUB))
        self.record = record_id(self.anna.log)

    def begin(self, key, **how):
        self.logs.append(Writer(self, key, **how))
        return self.logs[-1]

    def succeed(self, key, version):
        """Another authority log, which trusts all of the one before."""
        before = self.authority
        self.certificate = forge.certificate(version=version, key=key, trusted=(before.id, before.len, before.head))
        self.authority = forge.Log(0, bytes(16), key, 8).genesis().entry(7, b"\x01" + self.certificate)
        self.authorities.append(self.authority)

    def order(self, payload):
        self.authority.entry(7, payload)
        return self.authority.len, self.authority.head

    def found(self, says=None, **how):
        """The founding change: `kind`, the two maps, a title and an author, as operations 0 to 4."""
        made = self.anna.write(founding(), says=says, **how)
        self.fields, self.events = made.name(1), made.name(2)
        return made

    def title(self, value, *preds):
        return Op(self.fields, "title", PUT, value, preds)

    def event(self, writer, number=0, key=None, at=0, event="note", more=()):
        """The operations of an event; `at` is the index of the first."""
        key = key or f"{prefix(writer.actor)}-{number}"
        data = [Op(at, "event", PUT, event), Op(at, "at", PUT, 1_795_564_800_000), Op(at, "by", PUT, "a1")]
        return [Op(self.events, key, MAP), *data, *more]

    def withheld(self, writer, begin, end, reason):
        self.expected |= {(writer.log.id.hex(), at, reason) for at in range(begin, end)}

    def items(self):
        """Everything in its order, with checkpoints; digests are filled in by the caller."""
        head = forge.NETWORK + self.certificate + HUB.public + b"\xe0" * 16 + u(8, forge.TIME >> 16)
        found = [(1, head), (2, bytes(17))]
        for log in sorted(self.authorities, key=lambda log: log.id):
            found += log.checkpoint().all()
        found.append((8, bytes(32)))
        for kind, where in sorted({writer.where for writer in self.logs}):
            found.append((2, bytes([kind]) + where))
            for writer in sorted((it for it in self.logs if it.where == (kind, where)), key=lambda it: it.log.id):
                closed = writer.log.items[-1][0] == 7
                found += (writer.log if closed else writer.log.checkpoint(writer.cited)).all()
            found.append((8, bytes(32)))
        return found


def founding(**other):
    title = Op(1, "title", PUT, "灯")
    kinds = {"kind": Op(None, "kind", PUT, "opinion"), "fields": Op(None, "fields", MAP), "events": Op(None, "events", MAP)}
    return [*(kinds | other).values(), title, Op(None, "by", PUT, "a1")]


def record_id(log, seq=1, time=1_795_564_800_000):
    """SPEC, section 3."""
    bits = int.from_bytes(check.derive("record id", log.id, u(8, seq))[:10], "big") >> 6
    return u(16, time << 80 | 7 << 76 | bits >> 62 << 64 | 2 << 62 | bits & (1 << 62) - 1)


# ---- cases ----


def sound():
    """What counts."""
    s = Scene()
    f = s.found()
    one = s.bert.write([s.title("亮", f.name(3))], [f])
    two = s.hub.write(s.event(s.hub) + [Op(None, "by", PUT, "a9", [f.name(4)])], [f])
    three = s.anna.write([s.title("暗", f.name(3))], [f])
    settled = [Op(s.fields, "title", DELETE, None, [one.name(0), three.name(0)]), s.title("明")]
    four = s.hub.write(settled, [one, two, three])
    s.anna.write([Op(s.fields, "body", PUT, b"\x11" * 16), Op(s.fields, "people_count", PUT, -3)], [three, four])
    yield "a record of three writers", s
    s = Scene()
    f = s.found()
    s.bert.write(s.event(s.bert, 0) + s.event(s.bert, 1, at=4), [f])
    yield "two events in a change", s
    s = Scene()
    f = s.found()
    s.anna.write([], [f])
    yield "a change of nothing", s


def founders():
    s = Scene()
    f = s.found()
    for number in range(100):
        ops = founding()
        ops[3] = Op(1, "title", PUT, str(number))
        if frame(content(s.bert.actor, 1, 1, [], ops))[1] < f.digest:
            break
    second = s.bert.write(ops, says="guard")
    s.hub.write([Op(second.name(1), "title", PUT, "x")], [second], "guard")
    yield "a second founder with a smaller hash", s
    s = Scene()
    s.bert.write(founding(), says="guard")
    yield "a founder elsewhere alone", s
    s = Scene()
    f = s.found()
    s.anna.write(founding(), says="guard")
    s.anna.write([s.title("x", f.name(3))], [f], "guard")
    yield "founded twice by one log", s
    s = Scene()
    s.record = record_id(s.anna.log, 2)
    s.anna.write(founding(), says="guard")
    s.anna.write(founding(), says="guard", seq=1)
    yield "a founder behind one that does not count", s
    s = Scene()
    s.record = s.record[:6] + bytes([s.record[6] ^ 0x30]) + s.record[7:]
    s.found("guard")
    yield "a record's id of another version", s
    for name, other in {
        "a kind deleted": {"kind": Op(None, "kind", DELETE)},
        "a kind that is a number": {"kind": Op(None, "kind", PUT, 7)},
        "fields that are a list": {"fields": Op(None, "fields", 2)},
        "maps made twice": {"more": Op(None, "fields", MAP)},
        "kind put twice": {"more": Op(None, "kind", PUT, "opinion")},
        "another key at the root": {"more": Op(None, "title", PUT, "x")},
    }.items():
        s = Scene()
        f = s.anna.write(founding(**other), says="guard")
        s.bert.write([Op(f.name(1), "title", PUT, "x")], [f], "guard")
        yield f"a founder with {name}", s
    s = Scene()
    ops = founding()
    s.anna.write([Op(2, "title", PUT, "灯"), *ops[:3], ops[4]], says="guard")
    yield "fields before they are made", s


def order_of_a_log():
    s = Scene()
    f = s.found()
    one = s.bert.write([s.title("x", f.name(3))], [f])
    s.bert.write([s.title("y", f.name(3), one.name(0))], [f, one], "guard", seq=1)
    s.bert.write([], [one], "guard", seq=2)
    yield "the same sequence number twice", s
    s = Scene()
    f = s.found()
    s.bert.write([s.title("x", f.name(3))], [f], "guard", seq=2)
    yield "a sequence number left out", s
    s = Scene()
    f = s.found()
    one = s.bert.write([s.title("x", f.name(3))], [f])
    s.bert.write([Op(s.fields, "body", PUT, "y")], [f], "guard")
    s.hub.write([s.title("z", one.name(0))], [one])
    yield "not on its own change", s
    s = Scene()
    f = s.found()
    one = s.bert.write([s.title("x", f.name(3))], [f])
    two = s.hub.write([s.title("z", one.name(0))], [one])
    s.bert.write([s.title("y", two.name(0))], [two], "guard")
    yield "on its own change through another alone", s
    for name, by in (("too high", 1), ("too low", -1)):
        s = Scene()
        f = s.found()
        one = s.bert.write([s.title("x", f.name(3))], [f], "guard", start=f.last + 1 + by)
        s.hub.write([s.title("z", f.name(3))], [one], "guard")
        s.anna.write([s.title("z", f.name(3))], [f])
        yield f"a first operation number {name}", s
    s = Scene()
    f = s.found()
    s.bert.write([s.title("x", f.name(3))], [f], "guard", others=[s.hub.actor])
    yield "an actor that wrote no ancestor", s
    s = Scene()
    f = s.found()
    one = s.hub.write([s.title("x", f.name(3))], [f])
    s.bert.write([s.title("y", one.name(0))], [f], "guard")
    yield "a predecessor by an actor that wrote no ancestor", s
    s = Scene()
    f = s.found()
    one = s.hub.write([], [f])
    two = s.hub.write([s.title("x", f.name(3))], [one])
    s.bert.write([s.title("y", two.name(0))], [one], "guard")
    yield "a predecessor that its log wrote later", s
    s = Scene()
    f = s.found()
    one = s.hub.write([], [f])
    two = s.hub.write([s.title("x", f.name(3))], [one])
    knows = s.bert.write([], [two])
    for number in range(100):
        body = [Op(s.fields, "body", PUT, number)]
        if frame(content(s.anna.actor, 2, one.last + 1, [f.digest, one.digest], body))[1] > knows.digest:
            break
    less = s.anna.write(body, [f, one])
    s.begin(LAPTOP, incarnation=10).write([s.title("y", two.name(0))], [knows, less])
    yield "a predecessor that the last it builds on does not know", s


def shapes():
    def case(name, make, says="guard"):
        s = Scene()
        f = s.found()
        base = s.hub.write(s.event(s.hub), [f])
        ops = make(s, f, base)
        one = s.bert.write(ops, [f, base], says)
        s.anna.write([s.title("z", f.name(3))], [f, one] if says else [f, base, one], says)
        return name, s

    act = lambda s, **how: s.event(s.bert, **how)
    yield case("kind set anew", lambda s, f, b: [Op(None, "kind", PUT, "matter", [f.name(0)])])
    yield case("the maps made anew", lambda s, f, b: [Op(None, "fields", MAP, None, [f.name(1)])])
    yield case("fields deleted", lambda s, f, b: [Op(None, "fields", DELETE, None, [f.name(1)])])
    yield case("by that is a number", lambda s, f, b: [Op(None, "by", PUT, 7, [f.name(4)])])
    yield case("by put twice", lambda s, f, b: [Op(None, "by", PUT, "b", [f.name(4)]), Op(None, "by", PUT, "c", [f.name(4)])])
    yield case("by deleted and put", lambda s, f, b: [Op(None, "by", DELETE, None, [f.name(4)]), Op(None, "by", PUT, "c")], None)
    yield case("a field put twice", lambda s, f, b: [Op(s.fields, "x", PUT, 1), Op(s.fields, "x", PUT, 2)])
    yield case("a field that is a map", lambda s, f, b: [Op(s.fields, "x", MAP)])
    yield case("a field that is null", lambda s, f, b: [Op(s.fields, "x", PUT, None)])
    yield case("a field of 15 bytes", lambda s, f, b: [Op(s.fields, "x", PUT, bytes(15))])
    yield case("an unsigned number", lambda s, f, b: [Op(s.fields, "x", PUT, (3, b"\x07"))])
    yield case("a float", lambda s, f, b: [Op(s.fields, "x", PUT, (5, bytes(8)))])
    yield case("a time stamp", lambda s, f, b: [Op(s.fields, "x", PUT, (9, b"\x07"))])
    yield case("a value of a newer type", lambda s, f, b: [Op(s.fields, "x", PUT, (12, b"\x07"))])
    yield case("a text that is none", lambda s, f, b: [Op(s.fields, "x", PUT, (6, b"\xff"))])
    yield case("a number in a long form", lambda s, f, b: [Op(s.fields, "x", PUT, (4, b"\x80\x00"))])
    yield case("a key that is no text", lambda s, f, b: [Op(s.fields, b"\xff", PUT, 1)])
    yield case("an empty key", lambda s, f, b: [Op(s.fields, "", PUT, 1)])
    yield case("an unknown action", lambda s, f, b: [Op(s.fields, "x", 9)])
    yield case("an increment", lambda s, f, b: [Op(s.fields, "x", 5, 1)])
    yield case("a map with a value", lambda s, f, b: [Op(s.events, f"{prefix(s.bert.actor)}-0", MAP, 5)])
    yield case("a delete with a value", lambda s, f, b: [Op(s.fields, "title", DELETE, 5, [f.name(3)])])
    yield case("a delete", lambda s, f, b: [Op(s.fields, "title", DELETE, None, [f.name(3)])], None)
    yield case("a delete of nothing", lambda s, f, b: [Op(s.fields, "title", DELETE)])
    yield case("a predecessor at another key", lambda s, f, b: [Op(s.fields, "x", PUT, 1, [f.name(3)])])
    yield case("a predecessor in another map", lambda s, f, b: [Op(None, "by", PUT, "c", [f.name(3)])])
    yield case("a predecessor that is not there", lambda s, f, b: [s.title("x", (4_000, f.actor))])
    yield case("a predecessor twice", lambda s, f, b: [s.title("x", f.name(3), f.name(3))])
    yield case("a predecessor of its own", lambda s, f, b: [s.title("x"), Op(s.fields, "y", PUT, 1, [(b.last + 1, s.bert.actor)])])
    yield case("an event under another's prefix", lambda s, f, b: act(s, key=f"{prefix(s.hub.actor)}-1"))
    yield case("an event under a small prefix", lambda s, f, b: act(s, key=f"{prefix(s.bert.actor).lower()}-1"))
    yield case("into the hub's event", lambda s, f, b: [Op(b.name(0), "void", PUT, True)])
    yield case("the hub's event overwritten", lambda s, f, b: [Op(b.name(0), "event", PUT, "x", [b.name(1)])])
    yield case("the hub's event deleted", lambda s, f, b: [Op(s.events, f"{prefix(s.hub.actor)}-0", DELETE, None, [b.name(0)])])
    yield case("the hub's event replaced", lambda s, f, b: [Op(s.events, f"{prefix(s.hub.actor)}-0", MAP, None, [b.name(0)])])
    yield case("an event made over its own prefix", lambda s, f, b: [Op(s.events, f"{prefix(s.bert.actor)}-0", MAP, None, [b.name(0)])])
    yield case("an event twice", lambda s, f, b: act(s) + act(s, at=4))
    yield case("an event without a time", lambda s, f, b: [it for it in act(s) if it.key != "at"])
    yield case("an event whose name is a number", lambda s, f, b: act(s, event=7))
    yield case("a datum twice", lambda s, f, b: act(s, more=[Op(0, "x", PUT, 1), Op(0, "x", PUT, 2)]))
    yield case("a map in an event", lambda s, f, b: act(s, more=[Op(0, "x", MAP)]))
    yield case("an event written before it is made", lambda s, f, b: [Op(1, "x", PUT, 1), *act(s, at=1)])
    yield case("an object that nobody made", lambda s, f, b: [Op((4_000, f.actor), "x", PUT, 1)])


def columns():
    """Columns that say the same otherwise, or what none may say. What builds on bytes that are no change waits."""
    three = b"\x03"
    told = {
        "an empty column": ({148: b""}, "waiting"),
        "a column of absent rows": ({148: three, 165: b"\x00\x03", 17: b"\x00\x03"}, None),
        "rows one by one": ({66: b"\x01\x01\x7f\x01\x01\x01"}, None),
        "equal rows in a run of single ones": ({66: b"\x7d\x01\x01\x01"}, None),
        "an insertion": ({52: b"\x00\x03"}, "guard"),
        "a mark": ({165: b"\x03\x01m"}, "guard"),
        "an expanded mark": ({148: b"\x00\x03"}, "guard"),
        "a place in a list": ({17: b"\x03\x00", 19: b"\x03\x00"}, "guard"),
        "no values": ({86: b"\x03\x00"}, "guard"),
        "null with a length": ({86: b"\x03\x10"}, "guard"),
        "true with a length": ({86: b"\x03\x32"}, "guard"),
        "half an object": ({2: None}, "guard"),
        "the other half": ({1: None}, "guard"),
        "object 0": ({2: b"\x03\x00"}, "guard"),
        "the highest object": ({2: b"\x03" + leb(2**32 - 1)}, "guard"),
        "an object beyond it": ({2: b"\x03" + leb(2**32)}, "waiting"),
        "an actor that is not listed": ({1: b"\x03\x02"}, "waiting"),
        "an empty run at the end": ({52: b"\x03\x00"}, "waiting"),
        "an empty run between": ({52: b"\x01\x00\x02"}, "waiting"),
        "an empty run of absent rows": ({165: b"\x00\x03\x00\x00"}, "waiting"),
        "a row too few": ({66: b"\x02\x01"}, "waiting"),
        "a row too many": ({148: b"\x04"}, "waiting"),
        "no word on insertion": ({52: None}, "waiting"),
        "no word on predecessors": ({112: None}, "waiting"),
        "an absent number of predecessors": ({112: b"\x00\x03"}, "waiting"),
        "no word on values": ({86: None}, "waiting"),
        "an absent action": ({66: b"\x00\x01\x02\x01"}, "waiting"),
        "values that nothing announces": ({87: b"\x07"}, "waiting"),
        "predecessors that nothing announces": ({113: b"\x01\x00"}, "waiting"),
        "an unknown column": ({33: three}, "waiting"),
        "a deflated column": ({52 | 8: three}, "waiting"),
        "a number in a long form": ({52: b"\x83\x00"}, "waiting"),
    }
    for name, (given, later) in told.items():
        s = Scene()
        f = s.found()
        ops = [Op(s.fields, key, PUT, True) for key in "abc"]
        one = s.bert.write(ops, [f], later and "guard", given=given.items())
        s.hub.write([Op(s.fields, "a", PUT, False)], [one], later)
        yield f"columns: {name}", s
    for number, says in ((2**32 - 4, "guard"), (2**32 - 3, "waiting")):
        s = Scene()
        f = s.found()
        one = s.bert.write([Op(s.fields, key, PUT, True) for key in "abc"], [f], "guard", start=number)
        s.hub.write([], [f, one], says, start=f.last + 1)
        yield f"columns: operations from {number}", s


def heads():
    """What stands before the columns. What builds on such bytes waits."""
    at = 1 + 32 + 17 + 1 + 1  # of the time, behind one dependency
    told = {
        "a dependency twice": {"deps": lambda f: [f.digest] * 2},
        "65 dependencies": {"deps": lambda f: [f.digest, *(bytes([n]) * 32 for n in range(64))]},
        "a time": {"bend": lambda it: it[:at] + b"\x01" + it[at + 1 :]},
        "a message": {"bend": lambda it: it[: at + 1] + b"\x01m" + it[at + 2 :]},
        "an actor of 15 bytes": {"bend": lambda it: it[:33] + b"\x0f" + it[35:]},
        "sequence number 0": {"bend": lambda it: it[: at - 2] + b"\x00" + it[at - 1 :]},
        "more than 65,536 bytes": {"ops": lambda s: [Op(s.fields, "x", PUT, "x" * 65_536)]},
    }
    for name, how in told.items():
        s = Scene()
        f = s.found()
        ops = how["ops"](s) if "ops" in how else [s.title("x", f.name(3))]
        one = s.bert.write(ops, [f], "guard", deps=how["deps"](f) if "deps" in how else None, bend=how.get("bend"))
        s.hub.write([], [f, one], "waiting")
        yield f"head: {name}", s
    for name, kind, mode in (("a compressed chunk", 2, 2), ("a plain digest", 1, 0)):
        s = Scene()
        f = s.found()
        raw, digest = frame(content(s.bert.actor, 1, f.last + 1, [f.digest], [s.title("x", f.name(3))]), kind)
        s.bert.put(raw, "guard", mode=mode)
        s.hub.write([], [f, Made(s.bert.actor, f.last + 1, [None], digest)], "waiting")
        yield f"head: {name}", s


def own_values():
    s = Scene()
    f = s.found()
    s.anna.write([s.title("x")], [f], "guard")
    yield "a value beside its own", s
    s = Scene()
    f = s.found()
    one = s.bert.write([s.title("y", f.name(3))], [f])
    s.anna.write([s.title("x")], [f, one])
    yield "beside its own that another replaced", s
    s = Scene()
    f = s.found()
    s.bert.write([s.title("y", f.name(3))], [f])
    s.anna.write([s.title("x")], [f], "guard")
    yield "beside its own that another replaced unknown to it", s
    s = Scene()
    f = s.found()
    two = s.anna.write([Op(s.fields, "title", DELETE, None, [f.name(3)])], [f])
    s.anna.write([s.title("x")], [two])
    yield "after its own was deleted", s
    s = Scene()
    f = s.found()
    one = s.bert.write(s.event(s.bert), [f])
    s.bert.write(s.event(s.bert), [one], "guard")
    yield "its own event again", s


def waiting():
    s = Scene()
    f = s.found()
    unknown = s.bert.write([s.title("x", f.name(3))], [f], "waiting", deps=[f.digest, b"\x07" * 32])
    s.bert.write([], [unknown], "waiting")
    s.hub.write([], [unknown], "waiting")
    s.anna.write([s.title("y", f.name(3))], [f])
    yield "waits for ever", s
    s = Scene()
    f = s.found()
    no = s.bert.write([Op(None, "kind", PUT, "x", [f.name(0)])], [f], "guard")
    for deps in ([no.digest, b"\x00" * 32], [no.digest, b"\xff" * 32]):
        other = s.begin(HUB, incarnation=20 + deps[1][0] % 7)
        other.write([], [f], "waiting", deps=[f.digest, *deps])
    yield "on one that does not count and on one unknown", s
    s = Scene()
    f = s.found()
    bad = s.bert.write([s.title("x", f.name(3))], [f], "guard", bend=lambda it: it + b"\x00")
    s.hub.write([s.title("y", f.name(3))], [f, bad], "waiting")
    s.bert.write([], [f], "guard")
    yield "on bytes that are no change", s
    s = Scene()
    f = s.found()
    one = s.bert.write([s.title("x", f.name(3))], [f])
    raw = s.bert.log.items[-1][1][110:]
    s.hub.put(raw, "guard")
    s.anna.write([s.title("z", one.name(0))], [f, one])
    yield "a copy of another's change", s
    s = Scene()
    f = s.found()
    other = record_id(s.bert.log)
    g = s.bert.write(founding(), record=other)
    s.bert.seq = 0
    s.bert.write([s.title("x", f.name(3))], [f, g], "waiting", start=f.last + 1)
    yield "on a change of another record", s
    s = Scene()
    f = s.found()
    raw, digest = frame(content(s.bert.actor, 1, f.last + 1, [f.digest], [s.title("x", f.name(3))]))
    s.bert.put(raw, "missing", absent=True)
    gone = Made(s.bert.actor, f.last + 1, [None], digest)
    s.bert.write([], [gone], "waiting", seq=2)
    s.hub.write([], [gone], "waiting")
    yield "a change that is not here", s


def spaces():
    s = Scene()
    f = s.found()
    s.order(site(OTHER_SITE, "EM2"))
    away = s.begin(HUB, site=OTHER_SITE)
    one = away.write([s.title("x", f.name(3))], [f], "guard")
    s.hub.write([], [f, one], "waiting", start=f.last + 2)
    yield "in a log of another space", s
    s = Scene()
    away = s.begin(HUB, kind=3, site=bytes(16))
    away.write([Op((2, s.anna.actor), "title", PUT, "x")], [], "waiting", start=6, deps=[b"\x07" * 32])
    away.write([], [], "waiting")
    yield "in a log of another space before the founder", s
    s = Scene()
    s.record = bytes(16)
    s.found("guard")
    yield "a change of no record", s


def bounds():
    def edits(count, make=lambda s, at: []):
        s = Scene()
        last = s.found()
        for at in range(count):
            last = s.bert.write(make(s, at), [last])
        return s, last

    s, last = edits(1_000)
    s.bert.write([], [last], "guard")
    yield "change 1,001", s
    s, last = edits(64, lambda s, at: s.event(s.bert, at))
    s.bert.write(s.event(s.bert, 64), [last], "guard")
    yield "event 65", s
    s, last = edits(1, lambda s, at: [Op(s.fields, "x" * 60_000, PUT, 1)])
    yield "a key of 60,000 bytes", s
    big = lambda s, at: [Op(s.fields, f"k{at}", PUT, "x" * 65_000)]
    s, last = edits(16, big)
    s.bert.write(big(s, 16), [last], "guard")
    yield "more than a mebibyte", s
    many = lambda s, at: [Op(s.fields, f"{at}-{n}", PUT, True) for n in range(5_000)]
    s, last = edits(5, many)
    s.bert.write([Op(s.fields, "one", PUT, True)], [last], "guard")
    yield "operation 25,001", s
    s = Scene()
    last = s.found()
    one = s.bert.write([Op(s.fields, f"{n}", PUT, True) for n in range(9_000)], [last])
    two = s.bert.write([Op(s.fields, f"{n}", DELETE, None, [one.name(n)]) for n in range(7_999)], [one])
    s.bert.write([Op(s.fields, "8999", DELETE, None, [one.name(8_999)])], [two])
    s.bert.write([], [two], "guard")
    yield "predecessors and operations", s


def rights():
    write = lambda s, writer, f, *said: [f := writer.write([], [f], it) for it in said]
    s = Scene(granted=False)
    s.found("unknown_device")
    s.withheld(s.anna, 0, 1, "unknown_device")
    s.withheld(s.bert, 0, 1, "unknown_device")
    s.withheld(s.hub, 0, 1, "unknown_device")
    yield "no grants", s
    s = Scene()
    f = s.found()
    s.order(grant(4, THIEF, "EM1C", [(2, SITE, 1), (3, bytes(16), 3)], role=5))
    thief = s.begin(THIEF)
    s.withheld(thief, 0, 1, "not_permitted")
    one = thief.write([s.title("x", f.name(3))], [f], "not_permitted")
    s.bert.write([], [one], "guard")
    yield "a reader writes", s
    s = Scene()
    f = s.found()
    away = s.begin(STATION, site=OTHER_SITE)
    s.withheld(away, 0, 1, "not_permitted")
    away.write([], [f], "not_permitted")
    yield "a space that is not there", s
    s = Scene()
    f = s.found()
    write(s, s.bert, f, None, None, "revoked", "revoked")
    s.order(revoke(LAPTOP, places((s.bert.log, 3))))
    yield "behind a cut", s
    s = Scene()
    f = s.found()
    s.withheld(s.bert, 0, 1, "revoked")
    write(s, s.bert, f, "revoked")
    s.order(revoke(LAPTOP, places((s.hub.log, 3))))
    yield "not named by a cut", s
    s = Scene()
    f = s.found()
    write(s, s.bert, f, None, None, "revoked")
    s.order(revoke(LAPTOP, places((s.bert.log, 3))))
    s.order(grant(4, LAPTOP, "EM1B", WRITES_SITE, at=places((s.bert.log, 3))))
    yield "granted again behind a cut", s
    s = Scene()
    f = s.found()
    s.withheld(s.bert, 0, 1, "revoked")
    write(s, s.bert, f, "revoked")
    s.order(revoke(LAPTOP))
    s.order(grant(4, LAPTOP, "EM1B", WRITES_SITE))
    cites = (s.authority.len, s.authority.head)
    write(s, s.begin(LAPTOP, incarnation=10, cites=cites), f, None)
    early = s.begin(LAPTOP, incarnation=11)
    s.withheld(early, 0, 1, "revoked")
    write(s, early, f, "revoked")
    guessed = s.begin(LAPTOP, incarnation=12, cites=(cites[0], s.anna.log.head))
    guessed.cited = cites
    s.withheld(guessed, 0, 1, "revoked")
    write(s, guessed, f, "revoked")
    yield "begun under a new grant", s
    yield from later_rights(write)


def later_rights(write):
    s = Scene()
    f = s.found()
    write(s, s.bert, f, None, "not_permitted", "not_permitted")
    s.order(grant(4, LAPTOP, "EM1B", [(2, SITE, 1)], at=places((s.bert.log, 2))))
    other = s.begin(LAPTOP, incarnation=10)
    s.withheld(other, 0, 1, "not_permitted")
    yield "a grant from a place on", s
    s = Scene()
    f = s.found()
    write(s, s.bert, f, "not_permitted", "guard")
    s.withheld(s.bert, 0, 1, "not_permitted")
    s.order(grant(4, LAPTOP, "EM1B", [(2, SITE, 1)], at=places()))
    s.order(grant(5, LAPTOP, "EM1B", WRITES_SITE, at=places((s.bert.log, 2))))
    yield "a right that comes behind what has none", s
    s = Scene()
    f = s.found()
    write(s, s.bert, f, None, None, "revoked")
    s.order(revoke(LAPTOP, places((s.bert.log, 1))))
    s.order(adopt(s.bert.log, 1, 3, head_at(s.bert.log, 3)))
    yield "adopted behind a cut", s
    s = Scene()
    f = s.found()
    write(s, s.bert, f, "revoked", "revoked")
    s.order(revoke(LAPTOP, places((s.bert.log, 1))))
    s.order(adopt(s.bert.log, 1, 3, head_at(s.bert.log, 2)))
    s.order(adopt(s.bert.log, 2, 2, head_at(s.bert.log, 2)))
    yield "adopted on another branch", s
    s = Scene()
    f = s.found()
    write(s, s.bert, f, None, None)
    s.order(revoke(LAPTOP, places((s.bert.log, 1))))
    s.order(adopt(s.bert.log, 1, 9, bytes(32)))
    yield "adopted further than it is here", s
    yield from other_keys(write)


def other_keys(write):
    s = Scene()
    f = s.found()
    write(s, s.bert, f, None, "revoked")
    s.order(rotate(LAPTOP, THIEF, places((s.bert.log, 2))))
    write(s, s.begin(THIEF), f, None)
    yield "a rotated key", s
    s = Scene()
    f = s.found()
    write(s, s.bert, f, None, "revoked")
    s.order(revoke(LAPTOP, places((s.bert.log, 2)), lost=1))
    s.order(grant(4, LAPTOP, "EM1B", WRITES_SITE))
    thief = s.begin(THIEF)
    s.order(grant(5, THIEF, "EM1A", WRITES_SITE))
    s.order(grant(3, THIEF, "EM1C", WRITES_SITE))
    s.order(rotate(LAPTOP, THIEF))
    s.withheld(thief, 0, 1, "unknown_device")
    write(s, thief, f, "unknown_device")
    yield "orders without effect", s
    s = Scene()
    f = s.found()
    s.succeed(HUB, 4)
    s.order(grant(4, THIEF, "EM1C", WRITES_SITE))
    write(s, s.begin(THIEF), f, None)
    yield "orders of a successor", s
    s = Scene()
    f = s.found()
    s.authority.entry(200, b"")
    s.order(b"\x01" + forge.certificate(version=9))
    s.succeed(HUB, 4)
    s.order(grant(4, THIEF, "EM1C", WRITES_SITE))
    write(s, s.begin(THIEF), f, None)
    yield "a certificate that stands behind no genesis", s
    yield from forks()


def forks():
    s = Scene()
    f = s.found()
    one = s.bert.write([s.title("x", f.name(3))], [f])
    before = (s.bert.log.len, s.bert.log.head)
    two = s.bert.write([], [one], "forked")
    s.bert.log.fork(*before)
    s.hub.write([], [two], "guard")
    yield "behind a fork", s
    s = Scene()
    f = s.found()
    one = s.bert.write([], [f])
    before = (s.bert.log.len, s.bert.log.head)
    two = s.bert.write([], [one])
    s.bert.log.fork(*before, tip=(s.bert.log.len, s.bert.log.head))
    s.bert.write([], [two], "forked")
    yield "behind a pin", s


def head_at(log, length):
    entries = [body for kind, body in log.items if kind == 6]
    return check.derive("entry id", entries[length - 1][1:110])


def cases():
    """Name, items, and the entries that do not count as (log, seq, reason)."""
    for family in (sound, founders, order_of_a_log, shapes, heads, columns, own_values, waiting, spaces, bounds, rights):
        for name, scene in family():
            yield name, scene.items(), scene.expected


# ---- bent changes ----


def bent(chance, content):
    """A change's content with one or two bytes turned, left out, put in or said twice."""
    data = bytearray(content)
    for _ in range(chance.randrange(1, 3)):
        at, how = chance.randrange(len(data)), chance.randrange(6)
        if how == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif how == 1:
            data[at] = chance.choice([0, 1, 2, 3, 127, 128, 255, chance.randrange(256)])
        elif how == 2:
            del data[at]
        elif how == 3:
            data.insert(at, chance.choice([0, 1, 127, 128, 255]))
        elif how == 4:
            data[at : at + 1] = bytes([data[at]]) * 2
        else:
            data[at] = (data[at] + chance.choice([-1, 1])) % 256
    return bytes(data)


def crowd(chance, records=150):
    """Many records in one archive, each with a change whose bytes are bent and one that builds on it. What becomes of them is
    not stated: they are there to be judged alike."""
    s = Scene()
    for _ in range(records):
        s.record, bend = record_id(s.anna.log, s.anna.log.len), lambda it: bent(chance, it)
        hit = chance.randrange(4)
        s.anna.seq = s.bert.seq = s.hub.seq = 0
        f = s.found(bend=bend if hit == 0 else None)
        ops = [s.title("x", f.name(3)), *s.event(s.bert, at=1, more=[Op(1, "n", PUT, -300), Op(1, "b", PUT, b"\x07" * 16)])]
        one = s.bert.write(ops, [f], bend=bend if hit > 0 else None)
        s.hub.write([s.title("y", one.name(0)), Op(None, "by", DELETE, None, [f.name(4)])], [one])
    return s.items()


# ---- orders at random ----


def turmoil(chance):
    """A network whose hub gives orders at random, of which many contradict each other, while its devices begin logs and write.
    What becomes of them is not stated."""
    s = Scene(granted=False)
    keys, codes = [STATION, LAPTOP, HUB, THIEF], ["EM1A", "EM1B", "EM1C", "HUB", "EM1D"]
    named = lambda: places(*((writer.log, chance.randrange(5)) for writer in s.logs if chance.randrange(3)))
    scopes = [WRITES_SITE, EVERYWHERE, [(2, SITE, 1)], [], [(2, OTHER_SITE, 3), (9, SITE, 3)], [(4, bytes(16), 2)]]

    def begins():
        cites = chance.choice([(0, bytes(32)), (s.authority.len, s.authority.head)])
        told = chance.choice([cites, cites, (cites[0], s.anna.log.head)])
        writer = s.begin(chance.choice(keys), incarnation=20 + len(s.logs), site=chance.choice([SITE, SITE, OTHER_SITE]), cites=told)
        writer.cited = cites

    def adopts():
        log = chance.choice(s.logs).log
        end = chance.randrange(log.len + 3)
        head = head_at(log, end) if 0 < end <= log.len and chance.randrange(3) else bytes(32)
        s.order(adopt(log, chance.randrange(4), end, head))

    def grants(serial):
        key, code = chance.choice(keys), chance.choice(codes)
        s.order(grant(serial, key, code, chance.choice(scopes), chance.randrange(7), named()))

    for serial in range(40):
        how = chance.randrange(14)
        if how < 4:
            grants(chance.choice([serial, serial, serial // 2]))
        elif how == 4:
            s.order(revoke(chance.choice(keys), named(), lost=chance.randrange(8) == 0))
        elif how == 5:
            s.order(b"\x06" + chance.choice(keys).public)
        elif how == 6:
            s.order(rotate(*chance.sample(keys, 2), named()))
        elif how == 7:
            adopts()
        elif how == 8:
            s.order(site(*chance.choice([(SITE, "EM1"), (OTHER_SITE, "EM1"), (OTHER_SITE, "EM2")])))
        elif how < 11 and len(s.logs) < 12:
            begins()
        else:
            chance.choice(s.logs).log.entry(200, b"")
    for writer in chance.sample(s.logs, 2):
        at = chance.randrange(1, writer.log.len + 1)
        end = chance.randrange(at, writer.log.len + 1)
        writer.log.fork(at, head_at(writer.log, at), tip=(end, head_at(writer.log, end)))
    return s.items()
