"""Section 14, the detour: what one relay says to another by way of a third. Only the vectors use this."""
from . import peer
from . import primitives as p
from .address import own_form
from .signed import Signed
from .strict import closed, compose, decode, encode, need, parse, whole

LONGEST, STEP, LEAST = 320 << 10, 64 << 10, 512
LIFE = 10 * 60 * 1000
INSIDE = ("put", "chain", "file", "part", "spend")


def size(length):
    """What so many bytes are padded to."""
    padded = LEAST
    while padded < length:
        padded = padded * 2 if padded < STEP else padded + STEP
    return padded


def pad(plain):
    framed = p.u32(len(plain)) + plain
    return framed + bytes(size(len(framed)) - len(framed))


def unpad(padded):
    need(len(padded) == size(len(padded)), "padded to another length")
    length = int.from_bytes(padded[:4], "big")
    need(length <= len(padded) - 4 and not any(padded[4 + length:]), "the padding is wrong")
    return padded[4:4 + length]


def keys(shared, to, eph):
    """(there, back)."""
    return p.derive(shared, "hop/there", to, eph), p.derive(shared, "hop/back", to, eph)


def seal(seed, host, to, box, eph, now, frames):
    """(record, key of its answer) of frames, each as JSON text."""
    public = p.box_public(eph)
    there, back = keys(p.exchange(eph, box), to, public)
    start = compose({"to": encode(to), "eph": encode(public), "host": host, "ts": now, "frames": []})
    payload = start[:-2] + ",".join(frames).encode("utf-8") + b"]}"
    signed = Signed.write(seed, "sign/hop", payload)
    record = p.u8(1) + public + p.secretbox_seal(pad(compose(signed.wire())), bytes(p.NONCE), there)
    need(len(record) <= LONGEST, "too large")
    return record, back


class Hop:
    """A record, read by the relay with this seed: `by`, `host`, `frames`, and `back`, the key of the answer."""

    def __init__(self, seed, record, now):
        need(33 + 16 <= len(record) <= LONGEST and record[0] == 1, "not a hop record")
        key, eph = p.sign_pair(seed)[0], record[1:33]
        there, self.back = keys(p.exchange(peer.box_secret(seed), eph), key, eph)
        signed = Signed.read(parse(unpad(p.secretbox_open(record[33:], bytes(p.NONCE), there)), depth=1))
        signed.check("sign/hop")
        value = closed(parse(signed.payload), ("to", "eph", "host", "ts", "frames"))
        need(p.same(decode(value["to"], 32), key) and p.same(decode(value["eph"], 32), eph), "meant otherwise")
        self.by, self.host = signed.by, own_form(value["host"])
        need(abs(whole(value["ts"]) - now) <= LIFE, "expired")
        need(isinstance(value["frames"], list) and 1 <= len(value["frames"]) <= 4, "1 to 4 frames are due")
        self.frames = [peer.read_request(compose(frame)) for frame in value["frames"]]
        need(all(frame["op"] in INSIDE for frame in self.frames), "not in a hop record")


def seal_answer(back, nonce, plain):
    answer = nonce + p.secretbox_seal(pad(plain), nonce, back)
    need(len(answer) <= LONGEST, "too large")
    return answer


def open_answer(back, answer):
    need(p.NONCE + 16 <= len(answer) <= LONGEST, "not an answer")
    return peer.read_response(unpad(p.secretbox_open(answer[p.NONCE:], answer[:p.NONCE], back)))
