"""Sections 10 and 11: transcripts and keys of pairing and link. Only the vectors use this: we have no home."""
from . import primitives as p
from .address import Address
from .strict import compose, decode, encode, need, parse


def pair_box(code):
    return p.digest("pair/box", code)[:16]


def pair_transcript(uid, app, home, relay_key, host, eph_a, eph_n):
    """`app`, `home`: (sign, box)."""
    return p.digest("pair", b"home", uid, *app, *home, relay_key, host.encode("utf-8"), eph_a, eph_n)


def pair_key(shared, code, transcript):
    return p.derive(shared + code, "pair/key", transcript)


def handover_box(secret):
    return p.digest("handover/box", secret)[:16]


def handover_link(address, secret, uid):
    return f"{address.base()}/app/#handover.{encode(secret)}.{encode(uid)}"


def read_handover(link):
    """(address, secret, uid)."""
    base, mark, rest = link.partition("/app/#handover.")
    parts = rest.split(".")
    need(mark and len(parts) == 2, "not a handover link")
    return Address.read(base), decode(parts[0], 16), decode(parts[1], 32)


def seal_handover(bundle, secret, uid):
    return p.secretbox_seal(compose(bundle), bytes(p.NONCE), p.derive(secret, "handover/key", uid))


def open_handover(sealed, secret, uid):
    return parse(p.secretbox_open(sealed, bytes(p.NONCE), p.derive(secret, "handover/key", uid)))


def link_transcript(uid, device, home, relay_key, host, session, eph_i, eph_r):
    return p.digest("link", uid, device, home, relay_key, host.encode("utf-8"), session, eph_i, eph_r)


def link_keys(shared, transcript):
    return p.derive(shared, "link/i2r", transcript), p.derive(shared, "link/r2i", transcript)


def link_nonce(counter):
    return bytes(16) + p.u64(counter)
