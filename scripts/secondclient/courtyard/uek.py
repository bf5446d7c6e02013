"""Section 4: what letters are sealed to."""
from . import primitives as p
from .signed import Signed
from .strict import closed, compose, decode, encode, need, parse, whole

LABEL = "sign/uek"
DAY = 24 * 3600 * 1000


class Uek:
    """A verified record."""

    def __init__(self, value, chain):
        self.record = Signed.read(value)
        self.record.check(LABEL)
        fields = closed(parse(self.record.payload, 4096),
                        ("v", "uid", "counter", "ts", "head", "key"), ("prev",))
        need(whole(fields["v"]) == 1, "an unknown version")
        self.counter, self.ts = whole(fields["counter"], 1), whole(fields["ts"])
        need(("prev" in fields) == (self.counter > 1), "prev is due from the second record on")
        self.prev = decode(fields["prev"], 32) if "prev" in fields else None
        self.key = decode(fields["key"], 32)
        p.high_order(self.key)
        need(p.same(decode(fields["uid"], 32), chain.uid), "a UEK of somebody else")
        need(decode(fields["head"], 32) in chain.heads, "the head is in no known place")
        need(any(p.same(self.record.by, device.sign) for device in chain.active(self.ts, "admin", "home")),
             "signed by nobody who may")
        need(self.counter >= chain.floor, "below the floor of a revocation")
        self.hash = p.digest("uek", self.record.payload)

    def wire(self):
        return self.record.wire()


def issue(seed, chain, last, now):
    """(record, secret) of the next UEK; `last` is the wire form of the one before, or None."""
    secret = p.entropy(32)
    value = {"v": 1, "uid": encode(chain.uid), "counter": 1, "ts": now,
             "head": encode(chain.head), "key": encode(p.box_public(secret))}
    if last is not None:
        before = Uek(last, chain)
        value["counter"], value["prev"] = before.counter + 1, encode(before.hash)
    record = Signed.write(seed, LABEL, compose(value))
    return Uek(record.wire(), chain), secret
