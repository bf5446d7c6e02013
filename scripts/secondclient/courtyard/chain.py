"""Section 3: the list of a person's records, and what it says about the person."""
from . import primitives as p
from .signed import Signed
from .strict import closed, compose, decode, encode, hostname, need, parse, whole

LABEL = "sign/chain"
COMMON = ("v", "suite", "op", "seq", "ts")
FIELDS = {
    "genesis": ("nonce", "device", "relay"),
    "device.add": ("prev", "device"),
    "device.revoke": ("prev", "id", "uek_floor"),
    "card": ("prev", "ik", "box", "proof"),
    "relay": ("prev", "relay"),
}
ROLES = ("admin", "home", "session")
LONGEST, MOST = 4096, 1000


class Device:
    def __init__(self, value):
        closed(value, ("sign", "box", "role", "exp"))
        self.sign, self.box = decode(value["sign"], 32), decode(value["box"], 32)
        self.role, self.exp = value["role"], whole(value["exp"])
        need(self.role in ROLES, "an unknown role")
        p.high_order(self.box)
        self.id = p.digest("device", self.sign, self.box)
        self.revoked = None  # ts of the record

    def active(self, at):
        return self.revoked is None and (self.exp == 0 or at < self.exp)

    def wire(self):
        return {"sign": encode(self.sign), "box": encode(self.box), "role": self.role, "exp": self.exp}


class Relay:
    def __init__(self, value):
        closed(value, ("key", "host", "port"))
        self.key, self.host = decode(value["key"], 32), hostname(value["host"])
        self.port = whole(value["port"], 1, 65535)


class Chain:
    """A chain read from its genesis on; `heads[seq]` is the hash at that place."""

    def __init__(self):
        self.records, self.heads, self.devices = [], [], {}
        self.uid = self.relay = self.card = None
        self._cards = []
        self.floor = 0

    @classmethod
    def read(cls, values, uid=None):
        chain = cls()
        for value in values:
            chain.add(Signed.read(value))
        need(chain.records, "an empty chain")
        need(uid is None or p.same(chain.uid, uid), "a chain of somebody else")
        return chain

    @property
    def head(self):
        return self.heads[-1]

    @property
    def seq(self):
        return len(self.records) - 1

    def wire(self):
        return [record.wire() for record in self.records]

    def active(self, at, *roles):
        """The devices of these roles that are neither revoked nor expired at that time."""
        return [device for device in self.devices.values() if device.active(at) and device.role in roles]

    def device(self, device_id, at):
        found = self.devices.get(device_id)
        need(found is not None and found.active(at), "not an active device")
        return found

    def author(self, key, at):
        """The device of this id or signing key, if something dated `at` may be by it; else None (sections 8 and 15)."""
        for device in self.devices.values():
            if key in (device.id, device.sign):
                fine = (device.exp == 0 or at < device.exp) and (device.revoked is None or at < device.revoked)
                return device if fine else None
        return None

    def pinned(self, seq, head):
        """Whether this chain has the pinned hash at the pinned place; otherwise it is a fork."""
        return seq < len(self.heads) and p.same(self.heads[seq], head)

    def add(self, record):
        need(len(self.records) < MOST, "the chain is too long")
        need(len(record.payload) <= LONGEST, "the record is too long")
        value = parse(record.payload)
        need(isinstance(value, dict) and value.get("op") in FIELDS, "an unknown op")
        closed(value, COMMON + FIELDS[value["op"]])
        need(whole(value["v"]) == 1 and whole(value["suite"]) == 1, "an unknown version")
        whole(value["ts"])
        need(whole(value["seq"]) == len(self.records), "the place is wrong")
        need((value["op"] == "genesis") == (not self.records), "genesis comes first and once")
        if self.records:
            need(p.same(decode(value["prev"], 32), self.head), "the chain is broken")
        record.check(LABEL)
        getattr(self, "_" + value["op"].replace(".", "_"))(value, record)
        self.records.append(record)
        self.heads.append(p.digest("chain", record.payload))

    def _is_card(self, key):
        return self.card is not None and p.same(key, self.card["ik"])

    def _allow(self, record, at):
        by = record.by
        need(self._is_card(by) or any(p.same(by, device.sign) for device in self.active(at, "admin", "home")),
             "signed by nobody who may")

    def _taken(self, key):
        """Whether a signing key was ever a device's or a card's."""
        return key in self._cards or any(key == device.sign for device in self.devices.values())

    def _genesis(self, value, record):
        device = Device(value["device"])
        decode(value["nonce"], 16)
        need(device.role == "admin", "genesis needs an admin device")
        need(p.same(record.by, device.sign), "signed by nobody who may")
        self.relay = Relay(value["relay"])
        self.devices[device.id] = device
        self.uid = p.digest("uid", record.payload)

    def _device_add(self, value, record):
        self._allow(record, value["ts"])
        device = Device(value["device"])
        need(device.id not in self.devices and not self._taken(device.sign), "a device is never added twice")
        need(device.role != "home" or not self.active(value["ts"], "home"), "there is a home already")
        self.devices[device.id] = device

    def _device_revoke(self, value, record):
        self._allow(record, value["ts"])
        floor = whole(value["uek_floor"])
        device = self.devices.get(decode(value["id"], 32))
        need(device is not None and device.revoked is None, "no such device, or revoked already")
        device.revoked = value["ts"]
        self.floor = max(self.floor, floor)

    def _card(self, value, record):
        if self.card is None:
            self._allow(record, value["ts"])
        else:
            need(self._is_card(record.by), "only the card sets another card")
        ik, box = decode(value["ik"], 32), decode(value["box"], 32)
        p.high_order(box)
        need(not self._taken(ik), "the card's key is not new")
        p.verify(ik, decode(value["proof"], 64), "card-proof", self.uid, p.u64(value["seq"]), ik, box)
        self.card = {"ik": ik, "box": box}
        self._cards.append(ik)

    def _relay(self, value, record):
        self._allow(record, value["ts"])
        self.relay = Relay(value["relay"])

    def append(self, seed, op, now, **fields):
        """Writes, signs and adds one record; gives it back."""
        value = {"v": 1, "suite": 1, "op": op, "seq": len(self.records), "ts": now}
        if self.records:
            value["prev"] = encode(self.head)
        value.update(fields)
        record = Signed.write(seed, LABEL, compose(value))
        self.add(record)
        return record


def genesis(seed, device, relay, now):
    """A new chain of one record; `device` and `relay` are the JSON objects."""
    chain = Chain()
    chain.append(seed, "genesis", now, nonce=encode(p.entropy(16)), device=device, relay=relay)
    return chain
