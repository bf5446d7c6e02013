"""Section 8: what a letter says. Keys of later versions are allowed, kinds of later versions are only JSON."""
import re

from .signed import Signed
from .strict import CODE_TYPE, compose, decode, encode, need, parse, username, whole

DEEPEST = 4
FILE, SIDE, PICTURE = 20 << 20, 20000, 24 << 10
MEDIA = re.compile(r"[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*\Z")


class Meta:
    def __init__(self, raw):
        value = _object(parse(raw, 65536, DEEPEST))
        self.kind = value.get("kind")
        need(isinstance(self.kind, str) and CODE_TYPE.match(self.kind) is not None, "not a kind")
        self.mid, self.dev = _mid(value.get("mid")), decode(value.get("dev"), 32)
        self.seq, self.clock = whole(value.get("seq"), 1), whole(value.get("clock"))
        self.head, self.chain = decode(value.get("head"), 32), whole(value.get("chain"))
        self.uek = whole(value.get("uek"))


def compose_meta(kind, mid, dev, seq, clock, chain, uek):
    return compose({"kind": kind, "mid": encode(mid), "dev": encode(dev), "seq": seq, "clock": clock,
                    "head": encode(chain.head), "chain": chain.seq, "uek": uek})


def _object(value):
    need(isinstance(value, dict), "an object is due")
    return value


def _mid(value):
    mid = decode(value, 16)
    need(any(mid), "an empty mid")
    return mid


def _characters(value, most, least=0):
    need(isinstance(value, str) and least <= len(value) <= most, "text of another length is due")
    return value


def _text(value):
    need(len(_characters(value, 20000, 1).encode("utf-8")) <= 40000, "a longer text travels in a file")


def _name(value):
    _characters(value, 64, 1)


def _uid(value):
    decode(value, 32)


def _reply(value):
    _mid(_object(value).get("mid"))
    _uid(value.get("author"))


def _file(value):
    _object(value)
    decode(value.get("id"), 16)
    decode(value.get("key"), 32)
    decode(value.get("hash"), 32)
    whole(value.get("size"), 0, FILE)
    need(MEDIA.match(_characters(value.get("type"), 100)) is not None, "not a media type")


def _items(value):
    need(isinstance(value, list) and 1 <= len(value) <= 500, "1 to 500 items")
    for item in value:
        _mid(_object(item).get("mid"))
        decode(item.get("hash"), 32)


def _bytes(most):
    def check(value):
        need(len(decode(value)) <= most, "too many bytes")
    return check


def _upto(most):
    return lambda value: _characters(value, most)


def _side(value):
    whole(value, 1, SIDE)


def _emoji(value):
    need(len(_characters(value, 64).encode("utf-8")) <= 64, "the emoji is too long")


def _caption(value):
    if value != "":
        _text(value)


def _bool(value):
    need(isinstance(value, bool), "true or false")


def _one(*words):
    return lambda value: need(value in words, "another word")


def _short(most, least=0):
    def check(value):
        need(isinstance(value, str) and least <= len(value.encode("utf-8")) <= most, "too long")
    return check


def _fields(value, known):
    """Those without ? have to be there."""
    _object(value)
    for name, check in known.items():
        if name.rstrip("?") in value:
            check(value[name.rstrip("?")])
        else:
            need(name.endswith("?"), "a key is missing")


def _sdp(value):
    _fields(value, {"type": _one("offer", "answer"), "sdp": _short(16 << 10, 1)})


def _candidates(value):
    need(isinstance(value, list) and len(value) <= 16, "at most 16 candidates")
    for each in value:
        _fields(each, {"candidate": _short(256), "sdpMid": _short(16)})


def _call(value):
    """What each op has to have (section 17)."""
    due = {"ring": "media", "taken": "by", "answer": "to", "signal": "to"}.get(value.get("op"))
    need(due is None or due in value, "a key is missing")


AUDIO_VIDEO = _one("audio", "video")
OPS = _one("ring", "answer", "taken", "decline", "busy", "end", "signal")
PERSON = {"name?": _name, "username?": username}
BODIES = {
    ("chat", "text"): {"text": _text, "reply?": _reply, "file?": _file},
    ("chat", "photo"): {"file": _file, "width": _side, "height": _side, "thumb": _bytes(64), "text?": _caption,
                        "reply?": _reply},
    ("chat", "edit"): {"target": _mid, "text": _caption, "file?": _file},
    ("chat", "delete"): {"target": _mid},
    ("chat", "react"): {"target": _mid, "author": _uid, "emoji": _emoji},
    ("chat", "read"): {"upto": whole, "mid": _mid},
    ("chat", "call"): {"call": _mid, "media": AUDIO_VIDEO, "result": _one("answered", "missed", "declined", "busy", "failed"),
                       "seconds": lambda value: whole(value, 0, 86400)},
    ("chat", "profile"): {"name": _name, "about": _upto(1000), "picture?": _bytes(PICTURE), "version": whole},
    ("friend", "request"): {"name": _name, "words?": _upto(100), "username": username},
    ("friend", "joined"): {"name": _name, "username": username, "invite": _bytes(16), "proof": _bytes(32)},
    ("friend", "accept"): PERSON, ("friend", "decline"): PERSON, ("friend", "remove"): PERSON,
    ("receipt", "home"): {"items": _items},
    ("receipt", "stale"): {"id": _bytes(16), "uek": Signed.read},
    ("live", "typing"): {}, ("live", "here"): {},
    ("live", "peer"): {"id": _mid, "to": _uid, "sdp?": _sdp, "candidates?": _candidates, "end?": _bool},
    ("live", "call"): {"call": _mid, "op": OPS, "media?": AUDIO_VIDEO, "to?": _uid, "by?": _uid, "sdp?": _sdp,
                       "candidates?": _candidates},
}


def read_body(kind_of_envelope, kind, raw):
    """The body, checked if its kind is known."""
    known = BODIES.get((kind_of_envelope, kind))
    value = parse(raw, 65536, DEEPEST)
    if known is None:
        return value
    _fields(value, known)
    if (kind_of_envelope, kind) == ("live", "call"):
        _call(value)
    return value


