"""A signed object: the payload travels as bytes, and those bytes are what is signed."""
from . import primitives as p
from .strict import closed, decode, encode


class Signed:
    def __init__(self, payload, by, sig):
        self.payload, self.by, self.sig = payload, by, sig

    @classmethod
    def read(cls, value):
        closed(value, ("payload", "by", "sig"))
        return cls(decode(value["payload"]), decode(value["by"], 32), decode(value["sig"], 64))

    @classmethod
    def write(cls, seed, label, payload):
        public, _ = p.sign_pair(seed)
        return cls(payload, public, p.sign(seed, label, payload))

    def check(self, label):
        p.verify(self.by, self.sig, label, self.payload)

    def wire(self):
        return {"payload": encode(self.payload), "by": encode(self.by), "sig": encode(self.sig)}
