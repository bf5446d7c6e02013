"""Signed objects: chains and UEK records."""
from courtyard import chain as chains
from courtyard import primitives as p
from courtyard.signed import Signed
from courtyard.strict import decode, encode
from courtyard.uek import Uek


def _devices(found):
    return sorted(({"id": encode(device.id), "device": device.wire()} for device in found), key=lambda d: d["id"])


def chain(tally, vectors):
    at = vectors["at"]
    for case in vectors["good"]:
        name = case["name"]
        found = tally.works(name, lambda: chains.Chain.read(case["records"], decode(case["uid"])))
        if found is None:
            continue
        tally.same(name + ": head", encode(found.head), case["head"])
        tally.same(name + ": seq", (found.seq, found.floor), (case["seq"], case["uek_floor"]))
        tally.same(name + ": active", _devices(found.active(at, *chains.ROLES)),
                   sorted(case["active"], key=lambda device: device["id"]))
        homes = [encode(device.id) for device in found.active(at, "home")]
        tally.same(name + ": home", homes, [case["home"]] if "home" in case else [])
        relay = {"key": encode(found.relay.key), "host": found.relay.host, "port": found.relay.port}
        tally.same(name + ": relay", relay, case["relay"])
        card = {key: encode(value) for key, value in found.card.items()} if found.card else None
        tally.same(name + ": card", card, case.get("card"))
    for case in vectors["bad"]:
        before = chains.Chain()
        for record in case["records"][:-1]:
            tally.works(case["why"] + ": before", lambda: before.add(Signed.read(record)))
        tally.refused(case["why"], lambda: before.add(Signed.read(case["records"][-1])))
    for case in vectors["pins"]:
        found = chains.Chain.read(case["records"])
        pinned = found.pinned(case["pin"]["seq"], decode(case["pin"]["head"]))
        tally.same("pin: " + case["why"], not pinned, case["fork"])
    written = chains.Chain.read(vectors["authors"]["records"])
    for case in vectors["authors"]["cases"]:
        found = written.author(decode(case["id"], 32), case["ts"])
        tally.same("author: " + case["why"], found is not None, case["author"])


def uek(tally, vectors):
    person, before = chains.Chain.read(vectors["chain"]), None
    for case in vectors["good"]:
        found = tally.works("good", lambda: Uek(case["record"], person))
        if found is None:
            continue
        got = (found.counter, encode(found.hash), encode(found.key), found.ts,
               encode(found.prev) if found.prev else None)
        tally.same("fields", got, (case["counter"], case["hash"], case["key"], case["ts"], case.get("prev")))
        tally.same("key", encode(p.box_public(decode(case["secret"]))), case["key"])
        tally.same("prev", found.prev, before and before.hash)
        before = found
    for case in vectors["bad"]:
        owner = chains.Chain.read(case["chain"])
        tally.refused(case["why"], lambda: Uek(case["record"], owner))


CHECKS = {"chain": chain, "uek": uek}
