"""What is kept at the relay or handed on paper and by link: vault, card, invite, handover."""
import json

from courtyard import card, chain, handshake, invite, vault
from courtyard import primitives as p
from courtyard.address import Address, read_handle
from courtyard.strict import decode, encode, parse


def vaults(tally, vectors):
    owner, at = chain.Chain.read(vectors["chain"], decode(vectors["uid"])), vectors["at"]
    seed = decode(vectors["sign_seed"])
    plain, sealed = vectors["plain"].encode("utf-8"), vectors["sealed"]
    slots = vault.slots(owner, at)
    tally.same("slots", [encode(slot) for slot in slots], vectors["slots"])
    blob = vault.seal(plain, owner.uid, sealed["version"], slots, decode(vectors["vk"]), decode(vectors["eph_secret"]))
    tally.same("sealed", vault.wire(blob, owner.uid, sealed["version"], seed), sealed)
    for key in vectors["keys"]:
        secret = decode(key["box_secret"])
        opened = tally.works(key["who"], lambda: _open(sealed, owner, at, secret))
        tally.same(key["who"], opened, plain)
        for place in range(0, len(blob), 1 if key["who"] == "phone" else 41):
            broken = bytearray(blob)
            broken[place] ^= 1 + place % 255
            wire = vault.wire(bytes(broken), owner.uid, sealed["version"], seed)
            tally.refused(f"{key['who']}: byte {place}, signed", lambda: _open(wire, owner, at, secret))
    for wrong in ({"version": 4}, {"blob": encode(blob + b"\0")}, {"by": encode(bytes(32))}):
        tally.refused(str(list(wrong)), lambda: _open({**sealed, **wrong}, owner, at, secret))
    again = parse(json.dumps(parse(plain)).encode("utf-8"))
    tally.same("unknown keys are kept", (again["settings"]["scale"], "drafts" in again), (1.25, True))
    tally.same("unknown keys are kept", "nick" in again["friends"][1], True)


def _open(wire, owner, at, secret):
    version, blob = vault.read(wire, owner, at)
    return vault.unseal(blob, owner.uid, version, secret)


def cards(tally, vectors):
    bits = decode(vectors["bits"], 16)
    got = [encode(part) for part in card.keys(bits)]
    tally.same("keys", got, [vectors[name] for name in ("ik_seed", "ik", "box_secret", "box")])
    name, where = read_handle(vectors["handle"])
    tally.same("text", f"{name}@{where.dialled}\n{card.show(bits)}", vectors["text"])
    for text in vectors["typed"]:
        tally.same("typed", tally.works("typed", lambda: card.read_whole(text)), (name, where.dialled, bits))
    for case in vectors["bad"]:
        tally.refused(case["why"], lambda: card.read(case["text"]))


def invites(tally, vectors):
    found = tally.works("link", lambda: invite.read_link(vectors["link"]))
    tally.same("link", found.link(), vectors["link"])
    got = [encode(part) for part in (found.id, found.uid, found.head, found.secret)]
    tally.same("fields", got, [vectors[name] for name in ("id", "inviter", "head", "secret")])
    tally.same("host", found.address.dialled, vectors["host"])
    tally.same("hidden", encode(invite.hidden(found.id)), vectors["relay_id"])
    proof = invite.proof(found.secret, found.id, found.uid, decode(vectors["joiner"]))
    tally.same("proof", encode(proof), vectors["proof"])
    for case in vectors["cards"]:
        tally.same("card", encode(invite.seal_card(found, parse(case["plain"].encode("utf-8")))), case["sealed"])
        tally.same("card", invite.open_card(found, decode(case["sealed"])), json.loads(case["plain"]))
    for link in vectors["bad_links"]:
        tally.refused(repr(link), lambda: invite.read_link(link))
    for name in ("claim", "claim_with_home"):
        due = vectors[name]
        claim = tally.works(name, lambda: invite.read_link(due["link"]))
        got = (claim.address.dialled, encode(claim.token), encode(claim.relay_key), claim.code,
               claim.home and encode(claim.home))
        tally.same(name, got, (due["host"], due["token"], due["relay_key"], due.get("code"), due.get("home")))


def handovers(tally, vectors):
    secret, uid = decode(vectors["secret"]), decode(vectors["uid"])
    found = tally.works("link", lambda: handshake.read_handover(vectors["link"]))
    tally.same("link", (found[0].dialled, *found[1:]), (vectors["host"], secret, uid))
    tally.same("link", handshake.handover_link(Address.read_host(vectors["host"]), secret, uid), vectors["link"])
    tally.same("mailbox", encode(handshake.handover_box(secret)), vectors["mailbox"])
    opened = tally.works("open", lambda: handshake.open_handover(decode(vectors["sealed"]), secret, uid))
    due = {"uid": vectors["uid"], "username": vectors["username"],
           "sign": vectors["sign_seed"], "box": vectors["box_secret"]}
    tally.same("opened", opened, due)
    tally.same("sealed", encode(handshake.seal_handover(due, secret, uid)), vectors["sealed"])
    device = p.digest("device", p.sign_pair(decode(due["sign"]))[0], p.box_public(decode(due["box"])))
    tally.same("device", encode(device), vectors["device_id"])
    for link in vectors["bad_links"]:
        tally.refused(repr(link), lambda: handshake.read_handover(link))


CHECKS = {"vault": vaults, "card": cards, "invite": invites, "handover": handovers}
