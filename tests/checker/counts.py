"""What of an archive counts: which changes, and why the others do not.

Written from protocol/SPEC.md alone, sections 10 and 11, as check.py is. That says what was signed; this reads the file a
second time, at the places that it noted, one record at a time.

    Rights     the orders folded into who may do what, and where
    Change     one change: what its bytes say, and whether they may be read at all
    Record     the changes of one record, and which of them count
    judge      all of it, over an archive
"""

import hashlib
import itertools

import check

# SPEC, section 20.
CHANGE_BYTES, DEPS_MAX, OPS_MAX, KEY_BYTES_MAX = 65_536, 64, 20_000, 1 << 20
RECORD_CHANGES, RECORD_OPS, RECORD_BYTES, RECORD_EVENTS = 1_000, 25_000, 1 << 20, 64
COUNTER_MAX = 2**32 - 1
GUARD, WAITING, MISSING = 5, 8, 9
# The words for the reasons of section 11.
WORDS = [None, "unknown_device", "not_permitted", "revoked", "forked", "guard", "not_authority", "newer_version",
         "waiting", "missing"]
SHOWN_MAX = 1_000
COLUMNS = (1, 2, 17, 19, 21, 52, 66, 86, 87, 112, 113, 115, 148, 165)
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class NoChange(Exception):
    """The bytes are not a change that may be read."""


class Misshapen(Exception):
    """The change does what no change of a record does, or does not follow on what it builds on."""


# ---- rights: SPEC, section 11 ----


def is_point(key):
    """Whether bytes name a point of the curve: x² = (y² − 1) / (d·y² + 1) has a root."""
    prime = check.PRIME
    y = (int.from_bytes(key, "little") & (2**255 - 1)) % prime
    d = -121665 * pow(121666, -1, prime)
    square = (y * y - 1) * pow(d * y * y + 1, -1, prime) % prime
    return pow(square, (prime - 1) // 2, prime) in (0, 1)


def named(places, log):
    """The length at which places name a log."""
    return next((place["at"]["len"] for place in places if place["log"] == log), None)


class Rights:
    """The orders of the authority logs, folded one after the other."""

    def __init__(self, network):
        self.network, self.heads = network, []
        self.version, self.key = 0, None
        self.spaces = {check.derive("space id", network, bytes([kind]), bytes(16)): (kind, bytes(16)) for kind in (0, 1, 3)}
        self.codes, self.holders, self.serial = {}, {}, 0
        # By device: its newest grant, whether it is active, and what was ordered about its logs.
        self.grants, self.standing, self.history = {}, {}, {}
        self.lost, self.adopted = set(), {}
        # The logs that are folded, each with its trusted end, None for the newest.
        self.succession = {}

    def fold(self, entries):
        """Entries are (device, id, kind, payload or None)."""
        before = None
        for device, head, kind, payload in entries:
            self.heads.append(head)
            after_genesis, before = before == 1, kind
            if kind != 7 or payload is None:
                continue
            try:
                order = check.Order(payload)
            except check.Broken:
                continue
            if order.tag == 1:
                if after_genesis:
                    self.certify(device, order.certificate)
            elif self.key == device and order.tag in (3, 4, 5, 6, 7, 9):
                {3: self.site, 4: self.grant, 5: self.revoke, 6: self.left, 7: self.adopt, 9: self.rotate}[order.tag](order)

    def certify(self, device, certificate):
        if certificate.version > self.version and certificate.authority == device and certificate.holds(self.network):
            self.version, self.key = certificate.version, device

    def site(self, order):
        if all(site == order.site for site, code in self.codes.items() if code == order.code):
            self.codes[order.site] = order.code
            self.spaces[check.derive("space id", self.network, b"\x02", order.site)] = (2, order.site)

    def grant(self, order):
        sound = is_point(order.device) and not check.small_order(order.device)
        held = self.holders.get(order.device_code, order.device) != order.device
        if order.serial <= self.serial or not sound or order.device in self.lost or held:
            return
        self.serial = order.serial
        self.give(order.device, order, order.places)

    def give(self, device, grant, places):
        self.holders[grant.device_code] = device
        self.grants[device], self.standing[device] = grant, "active"
        self.history.setdefault(device, []).append(("grant", len(self.heads), grant.scopes, places))

    def close(self, device, cuts):
        self.history[device].append(("close", cuts))

    def revoke(self, order):
        if order.device in self.grants:
            self.standing[order.device] = "blocked"
            self.lost.update([order.device] if order.lost else [])
            self.close(order.device, order.cuts)

    def left(self, order):
        if self.standing.get(order.device) == "active":
            self.standing[order.device] = "left"

    def adopt(self, order):
        begin = getattr(order, "from")
        if begin < order.to["len"]:
            self.adopted.setdefault(order.log, []).append((begin, order.to["len"], order.to["head"]))

    def rotate(self, order):
        body = self.network + order.old + order.new
        both = check.signed(order.old, "key rotation", body, order.by_old) and check.signed(order.new, "key rotation", body, order.by_new)
        if not both or order.new in self.grants or self.standing.get(order.old) != "active":
            return
        self.standing[order.old] = "left"
        self.close(order.old, order.places)
        self.give(order.new, self.grants[order.old], [])

    # -- verdicts --

    def withheld(self, log, ids):
        """Ranges of a log that do not count, (from, to, reason). `ids` has the ends of adoptions that are held."""
        adopted = [(begin, end) for begin, end, head in self.adopted.get(log.id, []) if ids.get(end, head) == head]
        tip = log.tip()[0] if log.tip()[2] else None
        bounds = {0, log.end[0], *itertools.chain(*adopted)} | ({tip} if tip is not None else set())
        for ordered in self.history.get(log.device, []):
            bounds.add(named(ordered[-1], log.id))
        bounds.add((self.succession.get(log.id) or (None,))[0])
        bounds = sorted(bound for bound in bounds if bound is not None and bound <= log.end[0])
        ranges = []
        for begin, end in zip(bounds, bounds[1:]):
            if tip is not None and begin >= tip:
                reason = 4
            elif any(first <= begin < last for first, last in adopted):
                continue
            else:
                reason = self.refuses(log, begin)
            if reason is not None:
                ranges.append((begin, end, reason))
        return ranges

    def refuses(self, log, place):
        """The table of verdicts, adoptions and frozen ends aside."""
        space = self.spaces.get(log.space)
        if space is None:
            return 2
        if space[0] == 0:
            end = self.succession.get(log.id)
            return None if log.id in self.succession and (end is None or place < end[0]) else 6
        scopes = self.scopes(log, place)
        if scopes is None:
            return 1
        if self.closed(log, place):
            return 3
        covers = lambda it: it["space"] == 4 and space[0] == 2 or (it["space"], it.get("argument", bytes(16))) == space
        return None if any(covers(it) and it["verbs"] & 2 for it in scopes) else 2

    def scopes(self, log, place):
        """Of the grant at this place."""
        found = None
        for ordered in self.history.get(log.device, []):
            if ordered[0] == "grant" and (found is None or place >= (named(ordered[3], log.id) or 0)):
                found = ordered[2]
        return found

    def closed(self, log, place):
        cites, head = log.cites
        knew = lambda length: cites >= length and self.heads[cites - 1 : cites] == [head]
        closed = None
        for ordered in self.history.get(log.device, []):
            if ordered[0] == "grant":
                closed = None if closed == "unnamed" and knew(ordered[1]) else closed
                continue
            cut = named(ordered[1], log.id)
            if cut is not None and cut <= place:
                closed = "named"
            elif cut is None and closed is None:
                closed = "unnamed"
        return closed is not None


# ---- the bytes of a change: SPEC, section 10 ----


class Leb:
    """Reads bytes and LEB128 numbers, which must be in their shortest form."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        if count > self.left():
            raise NoChange("the bytes end too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def group(self):
        """The bytes of a number, seven bits each."""
        found = []
        while not found or found[-1] & 0x80:
            found.append(self.take(1)[0])
            if len(found) > 10:
                raise NoChange("a number beyond 64 bits")
        return found, sum((byte & 0x7F) << 7 * at for at, byte in enumerate(found))

    def unsigned(self):
        found, value = self.group()
        if value >= 2**64 or (len(found) > 1 and found[-1] == 0):
            raise NoChange("a number that is not in its shortest form")
        return value

    def signed(self):
        found, value = self.group()
        if found[-1] & 0x40:
            value -= 1 << 7 * len(found)
        spare = len(found) > 1 and found[-1] == (0x7F if found[-2] & 0x40 else 0)
        if spare or not -(2**63) <= value < 2**63:
            raise NoChange("a number that is not in its shortest form")
        return value

    def actor(self):
        if self.unsigned() != 16:
            raise NoChange("an actor that does not have 16 bytes")
        return self.take(16)


def rows(data, read, most):
    """The rows of a column of runs; None where a row has no value. Never more than `most`."""
    reader, found = Leb(data), []
    while reader.left():
        count = reader.signed()
        length = reader.unsigned() if count == 0 else abs(count)
        if length == 0:
            raise NoChange("an empty run")
        if len(found) + length > most:
            raise NoChange("more rows than a change has operations")
        if count < 0:
            found += [read(reader) for _ in range(length)]
        else:
            found += [None if count == 0 else read(reader)] * length
    return found


def text(reader):
    return reader.take(reader.unsigned())


def counters(data, most):
    """Rows of operation numbers, each written as the difference to the one before."""
    value, found = 0, []
    for step in rows(data, Leb.signed, most):
        value += step or 0
        if not 0 <= value <= COUNTER_MAX:
            raise NoChange("an operation number out of bounds")
        found.append(None if step is None else value)
    return found


def booleans(data, most):
    """Lengths of runs of false and true in turn; only the first run, of false, may be empty."""
    reader, found, value = Leb(data), [], False
    while reader.left():
        begin, length = reader.at, reader.unsigned()
        if length == 0 and (begin > 0 or not reader.left()):
            raise NoChange("an empty run")
        if len(found) + length > most:
            raise NoChange("more rows than a change has operations")
        found += [value] * length
        value = not value
    return found


class Op:
    """One operation. `object` is None for the root, else (number, actor); `value` is (type, bytes)."""

    def __init__(self, number, row, actors, value):
        self.number, self.row, self.value, self.preds = number, row, value, []
        self.action, key = row[66], row[21]
        self.object = None
        if (row[1], row[2]) != (None, None):
            # A name of which half is missing names nothing.
            self.object = (row[2], None if row[1] is None else actors[row[1]])
        self.key = key

    def check(self):
        """That it is an operation of the kinds that a record has, with a name for what it works on."""
        if (self.row[17], self.row[19]) != (None, None) or self.row[52] or self.row[148] or self.row[165] is not None:
            raise Misshapen("a list or a mark")
        if not self.key or self.object is not None and (None in self.object or self.object[0] == 0):
            raise Misshapen("no key or no object")
        try:
            self.key = self.key.decode()
        except UnicodeDecodeError:
            raise Misshapen("a key that is no text") from None
        if self.action not in (0, 1, 3) or (self.action != 1 and self.value != (0, b"")):
            raise Misshapen("neither a map, a put nor a delete")
        if self.action == 1 and self.scalar() is None:
            raise Misshapen("no scalar")
        if any(None in pred or pred[0] == 0 for pred in self.preds) or len(set(self.preds)) < len(self.preds):
            raise Misshapen("predecessors without a name, or twice")

    def scalar(self):
        """The type of what it puts: str, int, bool or part; None for what no record has."""
        kind, data = self.value
        if kind in (1, 2):
            return None if data else "bool"
        if kind == 4:
            reader = Leb(data)
            try:
                reader.signed()
            except NoChange:
                return None
            return None if reader.left() else "int"
        if kind == 6:
            try:
                data.decode()
            except UnicodeDecodeError:
                return None
            return "str"
        return "part" if kind == 7 and len(data) == 16 else None


class Change:
    """A change whose bytes alone are in order; NoChange otherwise."""

    def __init__(self, data, digest, actor):
        self.actor, self.hash, self.size = actor, digest, len(data)
        if len(data) > CHANGE_BYTES or data[:4] != b"\x85\x6f\x4a\x83" or data[8:9] != b"\x01":
            raise NoChange("not one change, or too long")
        hashed = hashlib.sha256(data[8:]).digest()
        if hashed != digest or hashed[:4] != data[4:8]:
            raise NoChange("not what its header names")
        reader = Leb(data)
        reader.at = 9
        if reader.unsigned() != reader.left():
            raise NoChange("not as long as it says")
        count = reader.unsigned()
        if count > DEPS_MAX:
            raise NoChange("too many dependencies")
        self.deps = [reader.take(32) for _ in range(count)]
        if len(set(self.deps)) < count:
            raise NoChange("a dependency twice")
        if reader.actor() != actor:
            raise NoChange("by another author")
        self.seq, self.start = reader.unsigned(), reader.unsigned()
        if not (1 <= self.seq <= COUNTER_MAX and 1 <= self.start <= COUNTER_MAX):
            raise NoChange("a number out of bounds")
        if reader.signed() != 0 or reader.unsigned() != 0:
            raise NoChange("a time or a message")
        # Each has 17 bytes, so there are no more than the bytes hold.
        self.others = [reader.actor() for _ in range(min(reader.unsigned(), reader.left() + 1))]
        columns = self.columns(reader)
        if reader.left():
            raise NoChange("bytes after the columns")
        self.read(columns, [actor, *self.others])

    @staticmethod
    def columns(reader):
        specs, last = [], -1
        for _ in range(min(reader.unsigned(), reader.left() + 1)):
            spec, length = reader.unsigned(), reader.unsigned()
            if spec <= last or spec not in COLUMNS:
                raise NoChange("columns that are not known, or out of order")
            if not length:
                raise NoChange("an empty column")
            last = spec
            specs.append((spec, length))
        return {spec: reader.take(length) for spec, length in specs}

    def read(self, columns, actors):
        """Columns into operations: each has a row for each, or none at all."""
        most = min(OPS_MAX, self.size)
        whole = lambda it: rows(columns.get(it, b""), Leb.unsigned, most)
        table = {66: whole(66)}
        count = len(table[66])
        table.update({it: whole(it) for it in (1, 2, 17, 86, 112)})
        table[19] = counters(columns.get(19, b""), most)
        table.update({it: rows(columns.get(it, b""), text, most) for it in (21, 165)})
        table.update({it: booleans(columns.get(it, b""), most) for it in (52, 148)})
        if any(len(column) not in (0, count) for column in table.values()):
            raise NoChange("a column with another number of rows")
        if any(None in table[it] or len(table[it]) < count for it in (52, 66, 86, 112)):
            raise NoChange("a column that says nothing of an operation")
        if sum(len(key) for column in (21, 165) for key in table[column] if key) > KEY_BYTES_MAX:
            raise NoChange("too many bytes of keys")
        by = rows(columns.get(113, b""), Leb.unsigned, OPS_MAX)
        numbers = counters(columns.get(115, b""), OPS_MAX)
        indices = [it for it in table[1] + table[17] + by if it is not None]
        if any(index >= len(actors) for index in indices) or any((it or 0) > COUNTER_MAX for it in table[2]):
            raise NoChange("an actor that is not listed, or a number out of bounds")
        # Null, false and true have no bytes of their own.
        if sum(meta >> 4 for meta in table[86] if meta & 15 > 2) != len(columns.get(87, b"")):
            raise NoChange("other values than announced")
        announced = sum(table[112])
        if (len(by), len(numbers)) != (announced, announced) or self.start + count > COUNTER_MAX:
            raise NoChange("other predecessors than announced, or operation numbers run out")
        self.ops, values = [], Leb(columns.get(87, b""))
        preds = iter([(number, None if it is None else actors[it]) for number, it in zip(numbers, by)])
        for at in range(count):
            row = {it: column[at] if column else None for it, column in table.items()}
            kind, length = row[86] & 15, row[86] >> 4
            # A length that such a value states all the same is no value of a record's.
            value = (kind, values.take(length) if kind > 2 else bytes(length and 1))
            op = Op(self.start + at, row, actors, value)
            op.preds = list(itertools.islice(preds, row[112]))
            self.ops.append(op)

    def last(self):
        """The highest operation number in use after it."""
        return self.start + len(self.ops) - 1

    def cost(self):
        return len(self.ops) + sum(len(op.preds) for op in self.ops)


# ---- what counts: SPEC, section 10 ----


class Share:
    """What one log has in a record."""

    def __init__(self):
        self.changes, self.events, self.ops, self.size = [], set(), 0, 0
        self.put = {}  # its last value at each key, as (number, actor)


class Record:
    """The changes of one record that count. They are tried in the order of each log."""

    def __init__(self):
        self.by_hash, self.refused, self.shares, self.clocks = {}, set(), {}, {}
        self.maps = None  # names of `fields` and `events`
        self.ops, self.replaced = {}, {}  # by name: (change, op), and the changes that took its place

    def judge(self, offered):
        """`offered` are (actor, founds, reason or None, Change or NoChange or None) in the order of the logs; None is
        absent. Gives for each its reason, or None if it counts."""
        verdicts = [None] * len(offered)
        queues, closed = {}, set()
        for at, (actor, *_) in enumerate(offered):
            queues.setdefault(actor, []).append(at)
        moved = True
        while moved:
            moved = False
            for actor, queue in queues.items():
                while queue:
                    _, founds, reason, change = offered[queue[0]]
                    counts = self.look(actor in closed, founds, reason, change)
                    if counts is None:
                        break
                    if not counts:
                        closed.add(actor)
                        verdicts[queue[0]] = reason or GUARD
                        if isinstance(change, Change) and change.hash not in self.by_hash:
                            self.refused.add(change.hash)
                    queue.pop(0)
                    moved = True
        for at in itertools.chain(*queues.values()):
            _, _, reason, change = offered[at]
            verdicts[at] = reason or (MISSING if change is None else WAITING)
        return verdicts

    def look(self, closed, founds, reason, change):
        """Whether the next change of a log counts; None while it waits."""
        if reason is not None or closed:
            return False
        if change is None:
            return None
        if isinstance(change, NoChange):
            return False
        if any(dep not in self.by_hash and dep not in self.refused for dep in change.deps):
            return None
        if any(dep not in self.by_hash for dep in change.deps):
            return False
        try:
            self.admit(change, founds)
        except Misshapen:
            return False
        return True

    def admit(self, change, founds):
        """Rules 2 and 5 to 8."""
        founding = not change.deps
        if founding and (not founds or self.maps):
            raise Misshapen("a record has one founder")
        share = self.shares.get(change.actor) or Share()
        before = share.changes[-1:]
        if change.seq != len(share.changes) + 1 or before and before[0].hash not in change.deps:
            raise Misshapen("it does not follow the one before")
        deps = [self.by_hash[dep] for dep in change.deps]
        clock = {}
        for dep in deps:
            for actor, count in self.clocks[dep.hash].items():
                clock[actor] = max(count, clock.get(actor, 0))
        if change.start != max((dep.last() for dep in deps), default=0) + 1:
            raise Misshapen("wrong operation numbers")
        if not all(actor in clock for actor in change.others):
            raise Misshapen("an actor that wrote no ancestor")
        maps, events = self.shape(change, share, clock, founding)
        sums = (len(share.changes) + 1, share.ops + change.cost(), share.size + change.size, len(share.events) + len(events))
        if any(have > most for have, most in zip(sums, (RECORD_CHANGES, RECORD_OPS, RECORD_BYTES, RECORD_EVENTS))):
            raise Misshapen("more than one log may have in one record")
        self.maps = maps
        self.take(change, share, events)
        self.clocks[change.hash] = {**clock, change.actor: change.seq}

    def take(self, change, share, events):
        self.shares[change.actor], self.by_hash[change.hash] = share, change
        share.changes.append(change)
        share.ops, share.size = share.ops + change.cost(), share.size + change.size
        share.events |= events
        for op in change.ops:
            name = (op.number, change.actor)
            self.ops[name] = (change, op)
            for pred in op.preds:
                self.replaced.setdefault(pred, []).append(change)
            if op.action == 1:
                share.put[op.object, op.key] = name

    def shape(self, change, share, clock, founding):
        """The table of section 10. Gives the two maps and the keys of the events that are made."""
        for op in change.ops:
            op.check()
        made = {op.key: (op.number, change.actor) for op in change.ops if op.object is None and op.action == 0}
        maps = (made.get("fields"), made.get("events")) if founding else self.maps
        roots = sorted((op.key, op.action) for op in change.ops if op.object is None and op.key != "by")
        if roots != ([("events", 0), ("fields", 0), ("kind", 1)] if founding else []):
            raise Misshapen("the root's keys")
        events, puts = {}, set()
        for op in change.ops:
            if op.object is not None and op.object[0] >= op.number:
                raise Misshapen("an object before it is made")
            if op.object is None or op.object == maps[0]:
                self.value(op, clock)
                if op.action == 1 and (op.object, op.key) in puts:
                    raise Misshapen("put twice")
                puts.update([(op.object, op.key)] if op.action == 1 else [])
            elif op.object == maps[1]:
                if op.action != 0 or op.preds or not op.key.startswith(prefix(change.actor)) or op.key in share.events:
                    raise Misshapen("an event that is not a new one of its own")
                events[op.number, change.actor] = (op.key, {})
            else:
                if op.object not in events or op.action != 1 or op.preds or op.key in events[op.object][1]:
                    raise Misshapen("a datum that is not put once into a new event")
                events[op.object][1][op.key] = op.scalar()
        for where in puts:
            self.own_value(change, share, clock, where)
        keys = {key for key, _ in events.values()}
        whole = all((data.get("event"), data.get("at"), data.get("by")) == ("str", "int", "str") for _, data in events.values())
        if not whole or len(keys) < len(events):
            raise Misshapen("an event that is not whole, or there twice")
        return maps, keys

    def value(self, op, clock):
        """A value of the root or of a field, and what it takes the place of."""
        if op.object is None and op.key in ("kind", "by") and op.action == 1 and op.scalar() != "str":
            raise Misshapen("no text at the root")
        if op.object is None and op.key != "by" and op.preds or op.action == 3 and not op.preds:
            raise Misshapen("a delete of nothing, or a first value that is none")
        if op.action == 0 and (op.object is not None or op.key == "by"):
            raise Misshapen("a map where a scalar belongs")
        for pred in op.preds:
            change, old = self.ops.get(pred, (None, None))
            if old is None or clock.get(change.actor, 0) < change.seq:
                raise Misshapen("a predecessor that no ancestor wrote")
            if (old.object, old.key, old.action) != (op.object, op.key, 1):
                raise Misshapen("a predecessor that is no value at this key")

    def own_value(self, change, share, clock, where):
        """A log has one value at a key: it takes the place of its own, unless an ancestor did."""
        last = share.put.get(where)
        taken = lambda: any(clock.get(it.actor, 0) >= it.seq for it in self.replaced.get(last, []))
        if last is not None and not any(last in op.preds for op in change.ops) and not taken():
            raise Misshapen("a value beside another of the same log")


def prefix(actor):
    """The actor in base 32: 26 characters, the last filled up with zero bits."""
    number = int.from_bytes(actor, "big") << 2
    return "".join(LETTERS[number >> 5 * at & 31] for at in range(25, -1, -1))


def founds(record, log, seq):
    """SPEC, section 3: whether a founding change at this place gives the record's id, whatever its time."""
    bits = int.from_bytes(check.derive("record id", log, seq.to_bytes(8, "big"))[:10], "big") >> 6
    number = int.from_bytes(record, "big")
    given = (number >> 64 & 0xFFFF, number & (1 << 64) - 1)
    return given == (7 << 12 | bits >> 62, 2 << 62 | bits & (1 << 62) - 1)


# ---- over an archive ----


def entry_at(file, offset):
    """Header and payload of the entry item at an offset, or behind a checkpoint there, and where the next item begins."""
    while True:
        file.seek(offset)
        head = file.read(5)
        body = check.Bytes(file.read(int.from_bytes(head[1:], "big")))
        offset = file.tell()
        if head[0] == 6:
            present = body.flag()
            header = check.Header(body)
            return header, body.rest() if present else None, offset


def ends(file, log, lengths):
    """Ids of a log's entries at these lengths."""
    found, offset, at = {}, log.offset, 0
    while at < max(lengths, default=0):
        header, _, offset = entry_at(file, offset)
        at = header.seq + 1
        if at in lengths:
            found[at] = header.id
    return found


def of_record(record, placed, logs, refused, file):
    """Reasons of a record's changes, which are (log's index, seq, offset)."""
    reasons, spaces, home = {}, {}, None
    for it in placed:
        log, seq, _ = it
        reasons[it] = next((reason for begin, end, reason in refused[log] if begin <= seq < end), None)
        spaces.setdefault(logs[log].space, []).append(it)
        if founds(record, logs[log].id, seq):
            home = logs[log].space
    for space, members in spaces.items():
        if home not in (None, space):
            reasons.update({it: reasons[it] or GUARD for it in members})
            continue
        offered = []
        for it in members:
            log, seq, offset = it
            header, payload, _ = entry_at(file, offset)
            actor = check.derive("automerge actor", logs[log].id)[:16]
            try:
                change = None if payload is None else Change(payload, header.digest, actor)
            except NoChange as broken:
                change = broken
            offered.append((actor, founds(record, logs[log].id, seq), reasons[it], change))
        reasons.update(zip(members, Record().judge(offered)))
    return reasons


def judge(audit, file):
    """What of an archive that was read counts, as `lianxin verify` says it."""
    rights = Rights(audit.network or bytes(32))
    rights.succession = dict(audit.succession)
    rights.fold(audit.orders)
    logs, told = audit.known, []
    refused = []
    for log in logs:
        named_ends = {end for _, end, _ in rights.adopted.get(log.id, []) if end <= log.end[0]}
        refused.append(rights.withheld(log, ends(file, log, named_ends)))
        told += [(len(refused) - 1, *it) for it in refused[-1]]
    reasons, counted = {}, 0
    for record, placed in itertools.groupby(sorted(audit.changes), lambda it: it[0]):
        for (log, seq, _), reason in of_record(record, [it[1:] for it in placed], logs, refused, file).items():
            counted += reason is None
            if reason is not None:
                reasons[WORDS[reason]] = reasons.get(WORDS[reason], 0) + 1
                told.append((log, seq, seq + 1, reason))
    withheld = []
    for log, begin, end, reason in sorted(told):
        name, last = logs[log].id.hex(), withheld[-1] if withheld else None
        if last and (last["log"], last["reason"]) == (name, WORDS[reason]) and last["to"] >= begin:
            last["to"] = max(last["to"], end)
        else:
            withheld.append({"log": name, "from": begin, "to": end, "reason": WORDS[reason]})
    return {"changes": len(audit.changes), "counted": counted, "reasons": reasons, "withheld": withheld[:SHOWN_MAX]}
