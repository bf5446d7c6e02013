"""Bytes, names, primitives, envelopes."""
from courtyard import card, envelope
from courtyard import primitives as p
from courtyard.address import Address, read_handle
from courtyard.strict import decode, encode, username


def base32(tally, vectors):
    for case in vectors["good"]:
        raw = decode(case["bytes"])
        tally.same("text", card.groups(card.to_base32(raw)), case["text"])
        for text in [case["text"]] + case["also"]:
            tally.same(text, card.from_base32(text, len(raw)), raw)
    for case in vectors["bad"]:
        tally.refused(case["why"], lambda: card.from_base32(case["text"], case["size"]))


def names(tally, vectors):
    users, hosts, handles = vectors["usernames"], vectors["hosts"], vectors["handles"]
    for text in users["good"] + users["reserved"]:
        tally.same(text, tally.works(text, lambda: username(text)), text)
    for text in users["bad"]:
        tally.refused(repr(text), lambda: username(text))
    for case in hosts["good"]:
        found = tally.works(case["text"], lambda: Address.read_host(case["text"]))
        if found is not None:
            tally.same(case["text"], (found.dialled, found.host, found.port), (case["host"], case["ip"], case["port"]))
    for text in hosts["bad"]:
        tally.refused("host " + repr(text), lambda: Address.read_host(text))
    for case in handles["good"]:
        found = tally.works(case["text"], lambda: read_handle(case["text"]))
        if found is not None:
            name, where = found
            tally.same(case["text"], (name, f"{name}@{where.dialled}", where.host, where.port),
                       (case["username"], case["handle"], case["ip"], case["port"]))
    for text in handles["bad"]:
        tally.refused("handle " + repr(text), lambda: read_handle(text))


def primitives(tally, vectors):
    for case in vectors["base64url"]["good"]:
        tally.same(case["text"], decode(case["text"]).hex(), case["hex"])
        tally.same(case["text"], encode(bytes.fromhex(case["hex"])), case["text"])
    for text in vectors["base64url"]["bad"]:
        tally.refused(repr(text), lambda: decode(text))
    for case in vectors["cases"]:
        label, secret = case["label"], decode(case["secret"])
        parts = [decode(part) for part in case["parts"] or []]
        public, signature = decode(case["sign_public"]), decode(case["sign"])
        tally.same("preimage", encode(p.preimage(label, *parts)), case["preimage"])
        tally.same("hash", encode(p.digest(label, *parts)), case["hash"])
        tally.same("mac", encode(p.mac(secret, label, *parts)), case["mac"])
        tally.same("kdf", encode(p.derive(secret, label, *parts)), case["kdf"])
        tally.same("sign", p.sign(secret, label, *parts), signature)
        tally.same("public", p.sign_pair(secret)[0], public)
        tally.works("verify", lambda: p.verify(public, signature, label, *parts))
        tally.refused("another label", lambda: p.verify(public, signature, label + "x", *parts))
    box = {name: decode(value) for name, value in vectors["box"].items()}
    tally.same("public", p.box_public(box["secret"]), box["public"])
    tally.same("dh", p.exchange(box["secret"], box["other"]), box["dh"])
    tally.same("shared key", p.box_shared(box["secret"], box["other"]), box["shared_key"])
    for text in vectors["low_order"]:
        point = bytearray(decode(text))
        tally.refused("low order", lambda: p.exchange(box["secret"], bytes(point)))
        tally.refused("low order", lambda: p.box_shared(box["secret"], bytes(point)))
        point[31] ^= 0x80
        tally.refused("low order, top bit", lambda: p.exchange(box["secret"], bytes(point)))


def envelopes(tally, vectors):
    for case in vectors["good"]:
        found = tally.works("good", lambda: envelope.Envelope.read(case["raw"].encode("utf-8")))
        if found is not None:
            tally.same("H", encode(found.hash()), case["H"])
            made = envelope.blank(found.ts, found.wire()["from"], found.wire()["to"], found.type, found.exp, found.id)
            tally.same("marshal", envelope.filled(made, found.data).raw().decode("utf-8"), case["marshal"])
    for case in vectors["bad"]:
        raw = case["raw"].encode("utf-8", "surrogatepass")
        tally.refused(case["why"], lambda: envelope.Envelope.read(raw))
    for text in vectors["not_utf8"]:
        tally.refused("not UTF-8", lambda: envelope.Envelope.read(decode(text)))


CHECKS = {"base32": base32, "names": names, "primitives": primitives, "envelope": envelopes}
