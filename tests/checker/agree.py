#!/usr/bin/env python3
"""Damages archives in seeded ways and requires that `lianxin verify` and check.py say the same of each.

    agree.py LIANXIN VECTORS ARCHIVE... [--seed N] [--rounds N]

It also makes some with forge.py and hostile.py, where whoever breaks a rule has the keys. Two programs that share no code agree on good or bad, on what they counted, and on which changes count
and why the others do not. A damage whose outcome is known states it, so that two checkers that accept everything do not agree their way through. Harmless changes are among them.
"""

import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import check
import counts
import forge
import hostile

COUNTS = ("network", "logs", "entries", "absent", "checkpoints", "receipts", "forks", "changes", "counted", "reasons", "withheld")
# Archives of many records in which one change each is bent, and of networks whose orders are given at random.
CROWDS, TURMOILS = 12, 60
# Fields of an item's body by kind: what a flipped byte hits, and how many bytes.
FIELDS = {
    1: [("network", 32), ("version", 4), ("root", 32), ("authority", 32), ("trusted", 1), ("signature", 64),
        ("exporter", 32), ("epoch", 16), ("taken", 8)],
    2: [("kind", 1), ("site", 16)],
    3: [("device", 32), ("incarnation", 16)],
    4: [("space", 32), ("log", 32), ("epoch", 16), ("stored_len", 8), ("stored_head", 32), ("judged", 8),
        ("count", 4), ("rest", None)],
    5: [("space", 32), ("device", 32), ("log", 32), ("count", 4), ("header", 109), ("rest", None)],
    6: [("present", 1), ("version", 1), ("header_len", 2), ("kind", 1), ("flags", 1), ("seq", 8), ("prev", 32),
        ("record", 16), ("hlc", 8), ("authority_len", 4), ("payload_len", 4), ("digest", 32), ("payload", None)],
    7: [("len", 8), ("head", 32), ("authority_len", 4), ("authority_head", 32), ("hlc", 8), ("signature", 64)],
    8: [("digest", 32)],
}
# Claims of the head that nothing signs.
HARMLESS = {(1, "exporter"), (1, "epoch"), (1, "taken")}


def parse(data):
    """Start and items without the end mark."""
    items, at = [], 18
    while at < len(data):
        length = int.from_bytes(data[at + 1 : at + 5], "big")
        items.append((data[at], data[at + 5 : at + 5 + length]))
        at += 5 + length
    return items[:-1]


def build(items):
    """The archive of these items, with an end mark that fits: only what stands inside can give it away."""
    data = b"lianxin archive\n\x00\x01"
    for kind, body in items:
        data += bytes([kind]) + len(body).to_bytes(4, "big") + body
    end = len(items).to_bytes(8, "big") + check.derive("archive", data)
    return data + b"\xff" + len(end).to_bytes(4, "big") + end


def with_digests(items):
    """The items with digests that fit what is left of the logs."""
    fresh, tips, log, space, network = [], {}, None, None, items[0][1][:32]
    for kind, body in items:
        if kind == 2:
            space, tips = check.derive("space id", network, body[:1], body[1:]), {}
        elif kind == 3:
            log = check.Log(space, body[:32], body[32:])
            tips[log.id] = (0, log.id, False)
        elif kind == 5 and log:
            proof, tip = check.Audit.read_fork(check.Bytes(body))
            if proof.position() is not None:
                tips[log.id] = tip + (True,)
        elif kind == 7 and log and not tips[log.id][2]:
            tips[log.id] = (int.from_bytes(body[:8], "big"), body[8:40], False)
        elif kind == 8:
            body = check.space_digest(tips)
        fresh.append((kind, body))
    return fresh


def flips(items, chance):
    """One flipped bit in every field of one item of each kind."""
    for kind, fields in FIELDS.items():
        places = [at for at, item in enumerate(items) if item[0] == kind]
        if not places:
            continue
        at = 0
        place = chance.choice(places)
        body = items[place][1]
        for name, width in fields:
            width = len(body) - at if width is None else width
            if width > 0 and at + width <= len(body):
                hit = at + chance.randrange(width)
                flipped = body[:hit] + bytes([body[hit] ^ 1 << chance.randrange(8)]) + body[hit + 1 :]
                damaged = items[:place] + [(kind, flipped)] + items[place + 1 :]
                yield f"flip {kind} {name}", build(damaged), (kind, name) in HARMLESS
            at += width


def spans(items):
    """Where each log begins and ends."""
    begins = [at for at, item in enumerate(items) if item[0] == 3]
    ends = [next(at for at in range(begin + 1, len(items)) if items[at][0] in (3, 8)) for begin in begins]
    return list(zip(begins, ends))


def moves(items, chance):
    """Items that are gone, twice there, or in another place. The outcome of some depends on what was hit."""
    for _ in range(4):
        at, other = sorted(chance.sample(range(1, len(items)), 2))
        yield "drop", build(items[:at] + items[at + 1 :]), None
        yield "double", build(items[: at + 1] + items[at:]), False
        turned = list(items)
        turned[at], turned[other] = turned[other], turned[at]
        yield "swap", build(turned), None if items[at] == items[other] else False
    logs = spans(items)
    begin, end = chance.choice(logs[1:])
    without = items[:begin] + items[end:]
    yield "log gone", build(without), False
    yield "log gone, digest made anew", build(with_digests(without)), True
    same = [(one, two) for one, two in zip(logs, logs[1:]) if one[1] == two[0]]
    for one, two in same[:1]:
        turned = items[: one[0]] + items[two[0] : two[1]] + items[one[0] : one[1]] + items[two[1] :]
        yield "logs turned round", build(with_digests(turned)), False
    receipts = [at for at, item in enumerate(items) if item[0] == 4]
    if len(receipts) > 1:
        at, other = chance.sample(receipts, 2)
        turned = list(items)
        turned[at], turned[other] = turned[other], turned[at]
        yield "receipts exchanged", build(turned), False
    if receipts:
        at = chance.choice(receipts)
        yield "receipt gone", build(items[:at] + items[at + 1 :]), True
    entries = [at for at, item in enumerate(items) if item[0] == 6 and item[1][0] == 1]
    at = chance.choice(entries)
    absent = list(items)
    absent[at] = (6, b"\x00" + items[at][1][1 : 1 + int.from_bytes(items[at][1][2:4], "big")])
    yield "payload gone", build(absent), True
    yield "payload gone, flag kept", build(items[:at] + [(6, b"\x01" + absent[at][1][1:])] + items[at + 1 :]), None
    at = chance.choice([at for at, item in enumerate(items) if item[0] == 7])
    yield "log cut after a checkpoint", build(with_digests(cut_log(items, at))), None
    crowd = [items[entries[0]]] * 70
    yield "a crowd of entries", build(items[: entries[0]] + crowd + items[entries[0] :]), False


def cut_log(items, at):
    """The items without what follows checkpoint `at` in its log."""
    end = next(it for it in range(at + 1, len(items)) if items[it][0] in (3, 8))
    return items[: at + 1] + items[end:]


def ends(data, chance):
    """What happens to files."""
    for _ in range(4):
        yield "truncated", data[: chance.randrange(len(data))], False
        at = chance.randrange(len(data))
        yield "flip anywhere", data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :], False
    yield "nothing", b"", False
    yield "start alone", data[:18], False
    yield "half a start", data[:17], False
    yield "bytes behind", data + b"\x00", False
    yield "twice", data + data, False
    yield "of version 2", data[:17] + b"\x02" + data[18:], False
    yield "huge item", data[:18] + b"\x06\xff\xff\xff\xff" + data[18:], False
    yield "unknown item", build(parse(data)[:-1] + [(9, b"")] + parse(data)[-1:]), False
    yield "noise", data[:18] + bytes(chance.randrange(256) for _ in range(2_000)), False


def made(sources, honest, chance, rounds):
    """Source, name, archive, whether it is good, and which entries do not count, where that is known. In `honest` ones all do."""
    for name, items, good in forge.cases():
        yield "forged", name, build(with_digests(items)), good, None
    for name, items, withheld in hostile.cases():
        yield "hostile", name, build(with_digests(items)), True, withheld
    for _ in range(CROWDS):
        yield "hostile", "bent changes", build(with_digests(hostile.crowd(chance))), True, None
    for _ in range(TURMOILS):
        yield "hostile", "orders at random", build(with_digests(hostile.turmoil(chance))), True, None
    for source, data in sources.items():
        items = parse(data)
        if build(items) != data or build(with_digests(items)) != data:
            sys.exit(f"{source}: this driver does not build what it has read")
        yield source, "as it is", data, True, set() if source in honest else None
        for _ in range(rounds):
            for damages in (flips(items, chance), moves(items, chance), ends(data, chance)):
                for case in damages:
                    yield source, *case, None


def asked(lianxin, file):
    """What the two say of a file: exit code and reply of the one, what the other would have said, and what it found bad."""
    ran = subprocess.run([lianxin, "verify", str(file), "--json"], capture_output=True, text=True, timeout=60)
    audit, counted, readable = check.Audit(None), {}, True
    try:
        with open(file, "rb") as opened:
            audit.read(opened)
            counted = counts.judge(audit, opened)
    except check.NoArchive:
        readable = False
    network = audit.network.hex() if audit.network else None
    bad = audit.bad if readable else ["no archive"]
    schema = f"lianxin.{'verify' if readable else 'error'}/1"
    found = {"schema": schema, "network": network, **audit.found, **counted}
    return (ran.returncode, json.loads(ran.stdout)), found, bad


def difference(told, found, bad, good, withheld):
    """What they do not agree on, or what is not as the case states it; empty if all is well."""
    code, reply = told
    keys = ("schema", *COUNTS) if found["schema"] == "lianxin.verify/1" else ("schema",)
    differs = [key for key in keys if reply.get(key) != found[key]]
    if code != (2 if bad else 0):
        differs.append("exit")
    if good not in (None, not bad):
        differs.append(f"expected good: {good}")
    if withheld is not None:
        ranges = found["withheld"]
        named = {(it["log"], at, it["reason"]) for it in ranges for at in range(it["from"], it["to"])}
        differs += [f"expected otherwise: {it}" for it in sorted(named ^ withheld)]
    return differs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lianxin")
    parser.add_argument("vectors", type=pathlib.Path)
    parser.add_argument("archives", nargs="+", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    sources = {path.name: path.read_bytes() for path in given.archives}
    honest = set(sources)
    for vector in json.loads((given.vectors / "archive.json").read_text())["vectors"]:
        sources[vector["name"]] = bytes.fromhex(vector["bytes"])
    sources["three writers"] = build(with_digests(next(hostile.cases())[1]))
    tried, outcomes, changes = collections.Counter(), collections.Counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "damaged"
        for source, name, archive, good, withheld in made(sources, honest, random.Random(given.seed), given.rounds):
            file.write_bytes(archive)
            told, found, bad = asked(given.lianxin, file)
            differs = difference(told, found, bad, good, withheld)
            if differs:
                kept = pathlib.Path(tempfile.gettempdir()) / "lianxin-disagreement"
                kept.write_bytes(archive)
                sys.exit(
                    f"{source}, {name} (seed {given.seed}), kept as {kept}: {differs}\n"
                    f"  lianxin: {told}\n  check.py: {found} {bad}"
                )
            tried[name] += 1
            outcomes["bad" if bad else "good"] += 1
            changes.update({"all": found.get("changes", 0), "counted": found.get("counted", 0)})
    print(f"{sum(tried.values())} archives in {len(tried)} ways, {outcomes['good']} good and {outcomes['bad']} bad: agreed")
    print(f"{changes['all']} changes in them, {changes['counted']} of which count: agreed")


if __name__ == "__main__":
    main()
