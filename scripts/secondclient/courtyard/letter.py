"""Section 8: the sealed letter inside an envelope. Between two people kind 1 proves the author, elsewhere kind 2."""
from . import primitives as p
from .strict import need

UNIT, MOST, SLOT, MAC = 512, 65536, 56, 32
HEAD = 66  # suite, eph_pk, commit, n
MACS, SIGNATURE = 1, 2
PRIVATE = ("chat", "friend", "receipt", "live")  # types in which readers refuse signatures


def _tail(meta, body):
    need(len(meta) < 65536, "too large")
    return p.u16(len(meta)) + meta + body


def _kid(shared, h):
    return p.digest("letter/kid", shared, h)[:8]


def _wrap(h, i):
    return p.nonce("letter/wrap", h, p.u8(i))


def _mac(secret, public, h, i, prefix, tail):
    key = p.derive(p.exchange(secret, public), "letter/auth-key", h, p.u8(i))
    return p.mac(key, "letter/auth", h, p.sha256(prefix), p.sha256(tail))


def _sign(seed, h, prefix, tail):
    return p.sign(seed, "sign/letter", h, p.sha256(prefix), p.sha256(tail))


def seal(h, keys, secret, meta, body, seed=None, mk=None, eph=None):
    """A letter to the UEK public keys, from the device with this box secret; signed if a seed is given.
    `mk` and `eph` are for vectors only."""
    need(1 <= len(keys) <= 200, "1 to 200 slots")
    mk, eph = mk or p.entropy(32), eph or p.entropy(32)
    prefix = p.u8(1) + p.box_public(eph) + p.digest("letter/commit", h, mk) + p.u8(len(keys))
    for i, key in enumerate(keys):
        shared = p.box_shared(eph, key)
        prefix += _kid(shared, h) + p.box_seal(mk, _wrap(h, i), shared)
    tail = _tail(meta, body)
    if seed is None:
        auth = p.u8(MACS) + b"".join(_mac(secret, key, h, i, prefix, tail) for i, key in enumerate(keys))
    else:
        auth = p.u8(SIGNATURE) + _sign(seed, h, prefix, tail)
    padded = p.pad(auth + tail, UNIT, MOST)
    return prefix + p.secretbox_seal(padded, p.nonce("letter/body", h, p.sha256(prefix)), mk)


class Opened:
    """An opened letter whose author is not yet proven: call `prove` with the device of meta.dev."""

    def __init__(self, h, uek, i, prefix, kind, auth, meta, body):
        self._h, self._uek, self._i, self._prefix = h, uek, i, prefix
        self.kind, self._auth, self.meta, self.body = kind, auth, meta, body

    def prove(self, device):
        tail = _tail(self.meta, self.body)
        if self.kind == SIGNATURE:
            p.verify(device.sign, self._auth, "sign/letter", self._h, p.sha256(self._prefix), p.sha256(tail))
            return
        due = _mac(self._uek, device.box, self._h, self._i, self._prefix, tail)
        need(p.same(self._auth[MAC * self._i:MAC * (self._i + 1)], due), "the letter is not from that device")


def unseal(letter, h, secrets, kind=MACS):
    """Opens with one of the own UEK secrets; `kind` is what the type of the envelope calls for."""
    need(len(letter) > HEAD and letter[0] == 1, "not a letter")
    public, commit, count = letter[1:33], letter[33:65], letter[65]
    end = HEAD + SLOT * count
    need(1 <= count <= 200 and len(letter) > end, "not a letter")
    prefix = letter[:end]
    for uek in secrets:
        shared = p.box_shared(uek, public)
        kid = _kid(shared, h)
        for i in range(count):
            slot = letter[HEAD + SLOT * i:HEAD + SLOT * (i + 1)]
            if not p.same(slot[:8], kid):
                continue
            mk = p.box_open(slot[8:], _wrap(h, i), shared)
            need(p.same(commit, p.digest("letter/commit", h, mk)), "the commitment is wrong")
            padded = p.secretbox_open(letter[end:], p.nonce("letter/body", h, p.sha256(prefix)), mk)
            return _inner(h, uek, i, prefix, p.unpad(padded, UNIT, MOST), count, kind)
    need(False, "no slot for these keys")


def _inner(h, uek, i, prefix, inner, count, kind):
    need(inner[:1] == p.u8(kind), "another kind of proof than is due")
    start = 1 + (MAC * count if kind == MACS else 64)
    need(len(inner) >= start + 2, "the letter is too short")
    middle = start + 2 + int.from_bytes(inner[start:start + 2], "big")
    need(len(inner) >= middle, "the letter is too short")
    return Opened(h, uek, i, prefix, kind, inner[1:start], inner[start + 2:middle], inner[middle:])


def letter_hash(h, letter):
    return p.digest("letter", h, letter)
