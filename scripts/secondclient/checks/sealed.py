"""Sealed things: letters and files."""
from courtyard import chain, content, envelope, files, letter
from courtyard import primitives as p
from courtyard.strict import decode, encode, need


def _kind(kind_of_envelope):
    return letter.MACS if kind_of_envelope in letter.PRIVATE else letter.SIGNATURE


def _read(raw, secrets, people):
    """All that a reader does: opens the letter, finds the device, proves it."""
    found = envelope.Envelope.read(raw.encode("utf-8"))
    opened = letter.unseal(found.data, found.hash(), secrets, _kind(found.type))
    meta = content.Meta(opened.meta)
    device = people.get(encode(found.sender["id"]))
    need(device is not None and p.same(device.id, meta.dev), "not a device of the sender")
    opened.prove(device)
    return found, opened


def _changed(tally, case, people):
    """Every byte changed; of long letters every 97th, for the first reader."""
    found = envelope.Envelope.read(case["envelope"].encode("utf-8"))
    readers, step = (case["readers"], 1) if len(case["readers"]) < 3 else (case["readers"][:1], 97)
    for reader in readers:
        for at in range(0, len(found.data), step):
            broken = bytearray(found.data)
            broken[at] ^= 1 + at % 255
            raw = envelope.filled(found, bytes(broken)).raw().decode("utf-8")
            tally.refused(f"{case['name']}: byte {at}", lambda: _read(raw, [decode(reader["secret"])], people))


def letters(tally, vectors):
    sender, keys = vectors["sender"], vectors["sender"]["keys"]
    people = {who["uid"]: chain.Device(who["keys"]["device"]) for who in (sender, vectors["carol"])}
    seed, secret = decode(keys["sign_seed"]), decode(keys["box_secret"])
    mk, eph, bob = decode(vectors["mk"]), decode(vectors["eph_secret"]), decode(vectors["bob"]["secret"])
    for case in vectors["good"]:
        name = case["name"]
        for reader in case["readers"]:
            both = tally.works(name, lambda: _read(case["envelope"], [p.entropy(32), decode(reader["secret"])], people))
            if both is None:
                continue
            found, opened = both
            tally.same(name + ": H", encode(found.hash()), case["H"])
            tally.same(name + ": meta", opened.meta.decode("utf-8"), case["meta"])
            tally.same(name + ": body", opened.body.decode("utf-8"), case["body"])
            tally.same(name + ": kind", opened.kind, case["kind"])
            tally.same(name + ": hash", encode(letter.letter_hash(found.hash(), found.data)), case["hash"])
        made = letter.seal(decode(case["H"]), [decode(reader["public"]) for reader in case["readers"]], secret,
                           case["meta"].encode("utf-8"), case["body"].encode("utf-8"),
                           seed if case["kind"] == letter.SIGNATURE else None, mk, eph)
        tally.same(name + ": sealed", encode(made), envelope.Envelope.read(case["envelope"].encode("utf-8")).value["data"])
        _changed(tally, case, people)
    for case in vectors["bad"]:
        tally.refused(case["why"], lambda: _read(case["envelope"], [bob], people))


def file(tally, vectors):
    for case in vectors["files"]:
        size, about = case["size"], case["file"]
        plain = bytes((i * 7 + i // 251) % 256 for i in range(size))
        name, key, hashed = decode(about["id"], 16), decode(about["key"], 32), decode(about["hash"], 32)
        sealed = files.seal(plain, name, key)
        tally.same(f"{size}: size", len(sealed), case["sealed_size"])
        tally.same(f"{size}: sealed", encode(p.digest("test/sealed-file", sealed)), case["sealed_hash"])
        if "sealed" in case:
            tally.same(f"{size}: bytes", encode(sealed), case["sealed"])
        tally.same(f"{size}: opened", tally.works("open", lambda: files.unseal(sealed, name, key, size, hashed)), plain)
        tally.refused(f"{size}: cut", lambda: files.unseal(sealed[:-1], name, key, size, hashed))
        if size > files.CHUNK:
            tally.refused(f"{size}: whole chunks only",
                          lambda: files.unseal(sealed[:files.CHUNK + 16], name, key, size, hashed))


def message(tally, vectors):
    for case in vectors["meta"]["good"]:
        tally.works("meta " + case["why"], lambda: content.Meta(case["raw"].encode("utf-8")))
    for case in vectors["meta"]["bad"]:
        tally.refused("meta " + case["why"], lambda: content.Meta(case["raw"].encode("utf-8")))
    for how, cases in vectors["bodies"].items():
        for case in cases:
            name = f"{case['type']} {case['kind']}: {case['why']}"
            check = tally.works if how == "good" else tally.refused
            check(name, lambda: content.read_body(case["type"], case["kind"], case["raw"].encode("utf-8")))


CHECKS = {"message": message, "letter": letters, "file": file}
