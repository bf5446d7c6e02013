"""Section 7: what the relay sees and forwards."""
from . import primitives as p
from .strict import (CODE_TYPE, closed, compose, decode, encode, hostname, need, parse, username, whole)

LONGEST, DEEPEST = 128 * 1024, 3


class Envelope:
    def __init__(self, value):
        closed(value, ("v", "id", "ts", "exp", "from", "to", "type", "data"))
        self.v, self.id = whole(value["v"]), decode(value["id"], 16)
        need(self.v == 1, "an unknown version")
        self.ts, self.exp = whole(value["ts"]), whole(value["exp"])
        self.sender, self.reader = _place(value["from"]), _place(value["to"])
        need(isinstance(value["type"], str) and CODE_TYPE.match(value["type"]) is not None, "not a type")
        self.type, self.data = value["type"], decode(value["data"])
        self.value = value

    @classmethod
    def read(cls, raw):
        return cls(parse(raw, LONGEST, DEEPEST))

    def hash(self):
        return p.digest("envelope", p.u8(self.v), self.id, p.u64(self.ts), p.u64(self.exp),
                        self.sender["id"], self.reader["id"], self.type.encode("ascii"))

    def wire(self):
        return self.value

    def raw(self):
        return compose(self.value)


def _place(value):
    closed(value, ("ip", "port", "username", "id"))
    if value["username"] != "":
        username(value["username"])
    return {"ip": hostname(value["ip"]), "port": whole(value["port"], 1, 65535),
            "username": value["username"], "id": decode(value["id"], 32)}


def place(host, port, name, uid):
    return {"ip": host, "port": port, "username": name, "id": encode(uid)}


def blank(now, sender, reader, kind, exp=0, envelope_id=None):
    """An envelope that still waits for its data: its hash is known, its letter is not."""
    return Envelope({"v": 1, "id": encode(envelope_id or p.entropy(16)), "ts": now, "exp": exp,
                     "from": sender, "to": reader, "type": kind, "data": ""})


def filled(envelope, data):
    return Envelope({**envelope.value, "data": encode(data)})
