"""Section 14, the link: two relays meet. Only the vectors use this: we are no relay."""
from . import primitives as p
from .address import own_form
from .signed import Signed
from .strict import closed, compose, decode, encode, has, need, parse, whole

VERSIONS = (1,)
LONGEST_TEXT, LONGEST_FRAME = 4 << 10, 512 << 10


def _said(text, op):
    value = has(parse(text.encode("utf-8"), LONGEST_TEXT, 4), "op")
    need(value["op"] == op, "another frame is due")
    return value


def box_secret(seed):
    return p.derive(seed, "relay/box")


def make_card(seed):
    payload = compose({"v": 1, "box": encode(p.box_public(box_secret(seed)))})
    return Signed.write(seed, "sign/relay-box", payload)


def read_card(card, key):
    """The box key on the card of the relay with this key."""
    need(p.same(card.by, key), "another relay's card")
    card.check("sign/relay-box")
    value = closed(parse(card.payload, depth=1), ("v", "box"))
    need(whole(value["v"]) == 1, "an unknown version")
    box = decode(value["box"], 32)
    p.high_order(box)
    return box


def hello(key, host, to, eph):
    return compose({"op": "hello", "versions": list(VERSIONS), "key": encode(key), "host": host, "to": to,
                    "eph": encode(p.box_public(eph))}).decode("utf-8")


class Hello:
    def __init__(self, text):
        value = has(_said(text, "hello"), "versions", "key", "host", "to", "eph")
        need(isinstance(value["versions"], list) and 1 <= len(value["versions"]) <= 16, "1 to 16 versions are due")
        self.versions = bytes(whole(version, 1, 255) for version in value["versions"])
        self.key, self.eph = decode(value["key"], 32), decode(value["eph"], 32)
        self.host, self.to = own_form(value["host"]), own_form(value["to"])

    def transcript(self, version, key, eph, card):
        """T, when the relay with that key answers; `card` may be None."""
        return p.digest("relay-link", p.u8(version), self.versions, self.key, self.host.encode("utf-8"), key,
                        self.to.encode("utf-8"), self.eph, eph, card.payload if card else b"")


def keys(shared, transcript):
    """(from A to B, from B to A)."""
    return p.derive(shared, "relay-link/i2r", transcript), p.derive(shared, "relay-link/r2i", transcript)


class Called:
    """B, who has understood a hello and answers it."""

    def __init__(self, seed, names, eph, text):
        self._hello, key = Hello(text), p.sign_pair(seed)[0]
        need(self._hello.to in names and not p.same(self._hello.key, key), "meant for another relay")
        version = max((known for known in VERSIONS if known in self._hello.versions), default=0)
        need(version, "no version that we know")
        card, public = make_card(seed), p.box_public(eph)
        self._transcript = self._hello.transcript(version, key, public, card)
        self.incoming, self.outgoing = keys(p.exchange(eph, self._hello.eph), self._transcript)
        self.answer = compose({"op": "hello", "version": version, "key": encode(key), "eph": encode(public),
                               "sig": encode(p.sign(seed, "sign/relay-link", b"r", self._transcript)),
                               "card": card.wire()}).decode("utf-8")

    def take_proof(self, text):
        value = has(_said(text, "proof"), "sig")
        p.verify(self._hello.key, decode(value["sig"], 64), "sign/relay-link", b"i", self._transcript)


class Caller:
    """A, who has said hello and gets an answer; `key` and `card` are whose it is."""

    def __init__(self, seed, eph, said, text):
        value = has(_said(text, "hello"), "version", "key", "eph", "sig")
        said = Hello(said)
        need(whole(value["version"], 1, 255) in said.versions, "a version that we did not offer")
        self.key, theirs = decode(value["key"], 32), decode(value["eph"], 32)
        self.card = Signed.read(value["card"]) if "card" in value else None
        self.transcript = said.transcript(value["version"], self.key, theirs, self.card)
        p.verify(self.key, decode(value["sig"], 64), "sign/relay-link", b"r", self.transcript)
        self.outgoing, self.incoming = keys(p.exchange(eph, theirs), self.transcript)
        if self.card is not None:
            read_card(self.card, self.key)
        self.proof = compose({"op": "proof", "sig": encode(
            p.sign(seed, "sign/relay-link", b"i", self.transcript))}).decode("utf-8")


def _nonce(counter):
    return bytes(16) + p.u64(counter)


def seal_frame(key, counter, plain):
    return p.u64(counter) + p.secretbox_seal(plain, _nonce(counter), key)


def open_frame(key, counter, frame):
    """The plaintext of the frame that is due."""
    need(8 + 16 <= len(frame) <= LONGEST_FRAME and frame[:8] == p.u64(counter), "another frame is due")
    return p.secretbox_open(frame[8:], _nonce(counter), key)


def _n(value):
    whole(value.get("n"), 1)


def _bytes(value, name, most):
    need(1 <= len(decode(value.get(name))) <= most, "bytes of another length are due")


def _put(value):
    _n(value)
    has(value, "env")


def _chain(value):
    decode(value.get("uid"), 32)
    whole(value.get("at", 0))
    records = value.get("records")
    need(isinstance(records, list) and records, "records are due")
    for record in records:
        Signed.read(record)


def _file(value):
    _n(value)
    decode(value.get("id"), 16)
    decode(value.get("from"), 32)
    decode(value.get("for"), 32)
    whole(value.get("size"), 1)


def _part(value):
    _n(value)
    whole(value.get("offset", 0))
    _bytes(value, "data", 128 << 10)


def _spend(value):
    _n(value)
    decode(value.get("id"), 16)
    decode(value.get("uid"), 32)


def _grant(value):
    _n(value)
    whole(value.get("until", 0))


def _card(value):
    _n(value)
    own_form(value.get("host"))


def _hop(value):
    _card(value)
    _step(value)


def _step(value):
    _n(value)
    _bytes(value, "data", 320 << 10)


NEEDS = {"put": _put, "chain": _chain, "file": _file, "part": _part, "spend": _spend, "grant": _grant, "card": _card,
         "hop": _hop, "step": _step, "live": lambda value: has(value, "env")}


def read_request(plain):
    """A frame of A. What is false or 0 may be missing; ops to come are for the caller to refuse."""
    value = has(parse(plain, LONGEST_FRAME, 6), "op")
    NEEDS.get(value["op"], lambda _: None)(value)
    return value


def read_response(plain):
    return has(parse(plain, LONGEST_FRAME, 6), "op")
