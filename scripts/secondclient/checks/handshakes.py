"""Socket, pairing, link: who proves what to whom."""
from courtyard import auth, card, handshake
from courtyard import primitives as p
from courtyard.address import Address
from courtyard.strict import decode, encode, parse


def _pair(value):
    """(seed, sign, box) of a device in the vectors."""
    return decode(value["sign_seed"]), decode(value["sign"]), decode(value["box"])


def _flipped(raw):
    return bytes([raw[0] ^ 1]) + raw[1:]


def socket(tally, vectors):
    challenge, sent, ready = (parse(vectors[name].encode("utf-8")) for name in ("challenge", "auth", "ready"))
    seed, public, box = _pair(vectors["device"])
    host, relay_key = vectors["host"], decode(vectors["relay_key"])
    device, uid, nonce = decode(sent["device"]), decode(sent["uid"]), decode(sent["nonce"])
    tally.same("device", p.digest("device", public, box), device)
    tally.same("relay key", p.sign_pair(decode(vectors["relay_seed"]))[0], relay_key)
    said = [decode(challenge["nonce"]), relay_key, host, uid, device]
    tally.same("auth", encode(auth.sign_auth(seed, *said)), sent["sig"])
    for i, part in enumerate(said):
        other = said[:i] + [part + "0" if i == 2 else _flipped(part)] + said[i + 1:]
        tally.refused(f"auth, part {i}", lambda: auth.verify_auth(public, decode(sent["sig"]), *other))
    tally.works("ready", lambda: auth.verify_ready(relay_key, decode(ready["proof"]), nonce, uid))
    tally.refused("ready, nonce", lambda: auth.verify_ready(relay_key, decode(ready["proof"]), _flipped(nonce), uid))
    tally.refused("ready, uid", lambda: auth.verify_ready(relay_key, decode(ready["proof"]), nonce, _flipped(uid)))


def pairing(tally, vectors):
    code, relay_key, uid = (decode(vectors[name]) for name in ("code", "relay_key", "uid"))
    host = vectors["host"]
    app, home = _pair(vectors["app"])[1:], _pair(vectors["home"])[1:]
    eph_a, eph_n = decode(vectors["eph_a_secret"]), decode(vectors["eph_n_secret"])
    public_a, public_n = p.box_public(eph_a), p.box_public(eph_n)
    where, typed = vectors["text"].split("/")
    tally.same("code", (Address.read_host(where).dialled, card.from_base32(typed, 10)), (host, code))
    tally.same("mailbox", encode(handshake.pair_box(code)), vectors["mailbox"])
    transcript = handshake.pair_transcript(uid, app, home, relay_key, host, public_a, public_n)
    tally.same("T", encode(transcript), vectors["T"])
    key = handshake.pair_key(p.exchange(eph_a, public_n), code, transcript)
    tally.same("K", encode(key), vectors["K"])
    bundle = p.secretbox_seal(vectors["bundle"].encode("utf-8"), bytes(p.NONCE), p.derive(key, "pair/bundle"))
    messages = {"a1": public_a + uid + b"".join(app),
                "n1": public_n + b"".join(home) + p.mac(key, "pair/newcomer", transcript),
                "a2": p.mac(key, "pair/approver", transcript) + bundle,
                "n2": p.mac(key, "pair/done", transcript)}
    tally.same("messages", {name: encode(raw) for name, raw in messages.items()}, vectors["messages"])


def link(tally, vectors):
    ids = [decode(vectors[name]) for name in ("uid", "device_id", "home_id", "relay_key")]
    host, session = vectors["host"], decode(vectors["session"])
    eph_i, eph_r = decode(vectors["eph_i_secret"]), decode(vectors["eph_r_secret"])
    public_i, public_r = p.box_public(eph_i), p.box_public(eph_r)
    transcript = handshake.link_transcript(*ids, host, session, public_i, public_r)
    tally.same("T", encode(transcript), vectors["T"])
    keys = dict(zip(("i2r", "r2i"), handshake.link_keys(p.exchange(eph_i, public_r), transcript)))
    tally.same("keys", {name: encode(key) for name, key in keys.items()}, {name: vectors[name] for name in keys})
    device, home = _pair(vectors["device"])[0], _pair(vectors["home"])[0]
    made = {"hello": p.u8(1) + session + public_i,
            "answer": p.u8(2) + session + public_r + p.sign(home, "sign/link", b"r", transcript),
            "finish": p.u8(3) + session + p.sign(device, "sign/link", b"i", transcript),
            "closed": p.u8(5) + session}
    for name, raw in made.items():
        tally.same(name, encode(raw), vectors[name])
    counters = {"i2r": 0, "r2i": 0}
    for frame in vectors["frames"]:
        way, plain = frame["way"], frame["plain"].encode("utf-8")
        counter = counters[way]
        sealed = p.secretbox_seal(plain, handshake.link_nonce(counter), keys[way])
        tally.same("frame", encode(p.u8(4) + session + p.u64(counter) + sealed), frame["data"])
        tally.refused("frame repeated", lambda: p.secretbox_open(sealed, handshake.link_nonce(counter + 1), keys[way]))
        counters[way] += 1


CHECKS = {"socket": socket, "pairing": pairing, "link": link}
