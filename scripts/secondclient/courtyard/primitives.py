"""Section 1: hashes, MACs, keys, signatures, boxes."""
import hashlib
import hmac
import struct

from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.utils import random as entropy

from .strict import Refusal, need

NONCE = 24


def u8(n):
    return struct.pack(">B", n)


def u16(n):
    return struct.pack(">H", n)


def u32(n):
    return struct.pack(">I", n)


def u64(n):
    return struct.pack(">Q", n)


def preimage(label, *parts):
    joined = b"".join(u32(len(part)) + part for part in parts)
    return b"courtyard/" + label.encode("utf-8") + b"\0" + joined


def sha256(raw):
    return hashlib.sha256(raw).digest()


def digest(label, *parts):
    return sha256(preimage(label, *parts))


def nonce(label, *parts):
    return digest(label, *parts)[:NONCE]


def mac(key, label, *parts):
    return hmac.new(key, preimage(label, *parts), hashlib.sha256).digest()


def derive(secret, label, *parts):
    """HKDF-SHA-256, empty salt, one block of output."""
    extracted = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(extracted, preimage(label, *parts) + b"\x01", hashlib.sha256).digest()


def same(left, right):
    return hmac.compare_digest(left, right)


def sign_pair(seed):
    """(public, seed + public) of an Ed25519 seed."""
    need(len(seed) == 32, "a seed has 32 bytes")
    return bindings.crypto_sign_seed_keypair(seed)


def sign(seed, label, *parts):
    _, secret = sign_pair(seed)
    return bindings.crypto_sign(preimage(label, *parts), secret)[:64]


def verify(public, signature, label, *parts):
    need(len(public) == 32 and len(signature) == 64, "not a signature")
    try:
        bindings.crypto_sign_open(signature + preimage(label, *parts), public)
    except CryptoError as problem:
        raise Refusal("the signature is wrong") from problem


def box_public(secret):
    return bindings.crypto_scalarmult_base(secret)


def exchange(secret, public):
    """X25519; results that are all zero are refused."""
    need(len(secret) == 32 and len(public) == 32, "not an X25519 key")
    try:
        shared = bindings.crypto_scalarmult(secret, public)
    except (CryptoError, RuntimeError) as problem:
        raise Refusal("a low-order point") from problem
    need(not same(shared, bytes(32)), "a low-order point")
    return shared


def high_order(public):
    """Refuses a public key that no exchange would accept."""
    exchange(bytes(32), public)


def box_shared(secret, public):
    """NaCl's beforenm."""
    exchange(secret, public)
    return bindings.crypto_box_beforenm(public, secret)


def box_seal(plain, at, shared):
    return bindings.crypto_box_afternm(plain, at, shared)


def box_open(sealed, at, shared):
    try:
        return bindings.crypto_box_open_afternm(sealed, at, shared)
    except CryptoError as problem:
        raise Refusal("the box does not open") from problem


def secretbox_seal(plain, at, key):
    return bindings.crypto_secretbox(plain, at, key)


def secretbox_open(sealed, at, key):
    need(len(sealed) >= 16, "too short for a secretbox")
    try:
        return bindings.crypto_secretbox_open(sealed, at, key)
    except CryptoError as problem:
        raise Refusal("the secretbox does not open") from problem


def pad(plain, unit, most):
    """u32(len) || plain || zeros, to unit * 2^k."""
    framed = u32(len(plain)) + plain
    size = unit
    while size < len(framed):
        size *= 2
    need(size <= most, "too large")
    return framed + bytes(size - len(framed))


def unpad(padded, unit, most):
    need(len(padded) >= 4 and len(padded) <= most, "the padding is wrong")
    size = unit
    while size < len(padded):
        size *= 2
    need(size == len(padded), "the padding is wrong")
    length = int.from_bytes(padded[:4], "big")
    need(length <= len(padded) - 4 and not any(padded[4 + length:]), "the padding is wrong")
    return padded[4:4 + length]


__all__ = [name for name in dir() if not name.startswith("_")]
