"""Strict readers: base64url, JSON, and the fields of JSON objects. Everything refused is a Refusal."""
import base64
import ipaddress
import json
import re

SAFE = 2 ** 53
ALPHABET = re.compile(r"[A-Za-z0-9_-]*\Z")
CODE_TYPE = re.compile(r"[a-z0-9.-]{1,32}\Z")
LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z")
USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,30}[a-z0-9])\Z")


class Refusal(Exception):
    """Input that the specification does not allow."""


def need(condition, words):
    if not condition:
        raise Refusal(words)


def encode(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text, size=None):
    need(isinstance(text, str), "a byte string is due")
    need(ALPHABET.match(text) is not None and len(text) % 4 != 1, "not base64url without padding")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(encode(raw) == text, "trailing bits in base64url")
    need(size is None or len(raw) == size, "a byte string of another length is due")
    return raw


def _object(pairs):
    names = [name for name, _ in pairs]
    need(len(set(names)) == len(names), "a key occurs twice")
    return dict(pairs)


def _integer(digits):
    need(len(digits) <= 17 and abs(int(digits)) < SAFE, "an integer is too large")
    return int(digits)


def _constant(word):
    raise Refusal("not JSON: " + word)


def _depth(value):
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


_reader = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_constant=_constant)


def parse(raw, limit=1 << 20, depth=None):
    """The value in JSON bytes: one value, no key twice, no lone surrogate."""
    need(len(raw) <= limit, "too large")
    try:
        text = bytes(raw).decode("utf-8")
        value = _reader.decode(text)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except Refusal:
        raise
    except (ValueError, RecursionError) as problem:
        raise Refusal("not JSON") from problem
    need(depth is None or _depth(value) <= depth, "nested too deeply")
    return value


def compose(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


def closed(value, required, optional=()):
    """An object with all the required keys and none besides the optional ones."""
    need(isinstance(value, dict), "an object is due")
    need(all(name in value for name in required), "a key is missing")
    need(all(name in required or name in optional for name in value), "an unknown key")
    return value


def has(value, *required):
    """An object with all the required keys; others are allowed."""
    need(isinstance(value, dict) and all(name in value for name in required), "a key is missing")
    return value


def whole(value, low=0, high=SAFE - 1):
    need(type(value) is int and low <= value <= high, "an integer in range is due")
    return value


def words(value, longest=None):
    need(isinstance(value, str), "text is due")
    need(longest is None or len(value.encode("utf-8")) <= longest, "the text is too long")
    return value


def username(value):
    need(isinstance(value, str) and USERNAME.match(value) is not None, "not a username")
    return value


def hostname(value):
    """An address literal (IPv6 without brackets or zone) or a host name of labels, in any case."""
    text = words(value, 253)
    if ":" in text:
        need("%" not in text, "an address with a zone")
        literal = ipaddress.IPv6Address
    else:
        labels = text.split(".")
        need(all(LABEL.match(label) is not None for label in labels), "not a host")
        literal = ipaddress.IPv4Address if labels[-1].isdigit() else str
    try:
        literal(text)
    except ValueError as problem:
        raise Refusal("not a host") from problem
    return text
