"""Section 6: the recovery card; and Crockford's base32, which pairing codes use too."""
from . import primitives as p
from .address import read_handle
from .strict import need

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def to_base32(raw):
    bits = "".join(format(byte, "08b") for byte in raw)
    bits += "0" * (-len(bits) % 5)
    return "".join(DIGITS[int(bits[at:at + 5], 2)] for at in range(0, len(bits), 5))


def from_base32(text, size):
    need(text.isascii(), "not base32")
    plain = text.upper().replace("O", "0").replace("I", "1").replace("L", "1")
    plain = "".join(sign for sign in plain if sign not in "- \t\r\n")
    need(len(plain) == (size * 8 + 4) // 5 and all(sign in DIGITS for sign in plain), "not base32")
    bits = "".join(format(DIGITS.index(sign), "05b") for sign in plain)
    need("1" not in bits[size * 8:], "trailing bits")
    return bytes(int(bits[at:at + 8], 2) for at in range(0, size * 8, 8))


def groups(text):
    return "-".join(text[at:at + 4] for at in range(0, len(text), 4))


def show(bits):
    return groups(to_base32(bits + p.digest("card/check", bits)[:1]))


def read(text):
    raw = from_base32(text, 17)
    need(p.same(raw[16:], p.digest("card/check", raw[:16])[:1]), "the card is mistyped")
    return raw[:16]


def read_whole(text):
    """(username, host, bits) of all that the card shows."""
    parts = text.split(None, 1)
    need(len(parts) == 2, "a handle and a code are due")
    name, where = read_handle(parts[0])
    return name, where.dialled, read(parts[1])


def keys(bits):
    """(seed of ik, ik, box secret, box)."""
    seed, secret = p.derive(bits, "card/sign"), p.derive(bits, "card/box")
    return seed, p.sign_pair(seed)[0], secret, p.box_public(secret)
