"""A person without a home: keys, chain, UEKs, vault, and what is known of friends."""
import time

from . import chain as chains
from . import primitives as p
from . import uek as ueks
from . import vault
from .address import Address
from .api import Api, Problem
from .strict import Refusal, decode, encode, need

AWAY = ("peer-away", "address-refused", "rate-limited")  # of a courtyard that gives no answer now


def now():
    return int(time.time() * 1000)


class Person:
    def __init__(self, state):
        self.state = state
        self.seed, self.box = decode(state["sign"], 32), decode(state["box"], 32)
        self.chain = chains.Chain.read(state["chain"])
        self.uid, self.username = self.chain.uid, state["username"]
        self.device = p.digest("device", p.sign_pair(self.seed)[0], p.box_public(self.box))
        self.address = Address(state["host"], state["port"], state["plain"])
        self.api = Api(self.address)

    @classmethod
    def create(cls, state, address, relay_key, name, username):
        """Keys and genesis, nothing at the relay yet."""
        seed, box = p.entropy(32), p.entropy(32)
        device = {"sign": encode(p.sign_pair(seed)[0]), "box": encode(p.box_public(box)), "role": "admin", "exp": 0}
        relay = {"key": encode(relay_key), "host": address.host, "port": address.port}
        made = chains.genesis(seed, device, relay, now())
        for key, value in (("host", address.host), ("port", address.port), ("plain", address.plain),
                           ("username", username), ("sign", encode(seed)), ("box", encode(box)),
                           ("chain", made.wire()), ("instance", encode(p.entropy(16))), ("uek", None)):
            state[key] = value
        state["vault"] = {"v": 1, "username": username, "name": name, "about": "", "friends": [], "invites": [],
                          "ueks": [], "settings": {}, "devices": {encode(made.active(0, "admin")[0].id): "second client"}}
        return cls(state)

    # -- vault ------------------------------------------------------------------

    @property
    def content(self):
        return self.state["vault"]

    def sealed_vault(self, version):
        return vault.seal_json(self.content, self.chain, version, self.seed, now())

    def open_vault(self, wire):
        return vault.open_json(wire, self.chain, self.box, now())

    def save_vault(self):
        """Compare-and-swap; somebody else's newer vault is merged under ours and tried again."""
        for _ in range(4):
            version = self.state["vaultVersion"] + 1
            try:
                self.api.put_vault(self.sealed_vault(version))
            except Problem as problem:
                if problem.code != "vault-conflict":
                    raise
                self.merge_vault()
                continue
            self.state["vaultVersion"] = version
            self.state.save()
            return
        raise Problem("vault-conflict")

    def merge_vault(self):
        version, theirs = self.open_vault(self.api.vault())
        need(version >= self.state["vaultVersion"], "the relay serves an old vault")
        merged = {**theirs, **self.content}
        for name, key in (("friends", "uid"), ("invites", "id"), ("ueks", "counter")):
            ours = {item[key] for item in self.content[name]}
            merged[name] = self.content[name] + [item for item in theirs.get(name, []) if item[key] not in ours]
        self.state["vault"], self.state["vaultVersion"] = merged, version
        self.state.save()

    # -- own UEK ----------------------------------------------------------------

    def next_uek(self):
        """Makes the next one and puts the secret where the vault keeps it; gives the record."""
        record, secret = ueks.issue(self.seed, self.chain, self.state["uek"], now())
        self.content["ueks"].append({"counter": record.counter, "secret": encode(secret), "ts": record.ts})
        self.state["uek"] = record.wire()
        return record

    def renew_uek(self):
        """Without a home: when the last record is older than a day. First the vault, then the record."""
        newest = ueks.Uek(self.state["uek"], self.chain)
        if now() - newest.ts <= ueks.DAY:
            return
        record = self.next_uek()
        self.save_vault()
        self.api.add_uek(record)

    def secrets(self):
        return [decode(item["secret"], 32) for item in reversed(self.content["ueks"])]

    def own_uek(self):
        return ueks.Uek(self.state["uek"], self.chain)

    # -- friends ----------------------------------------------------------------

    def friend(self, uid):
        text = encode(uid)
        return next((friend for friend in self.content["friends"] if friend["uid"] == text), None)

    def named(self, username=None):
        found = [friend for friend in self.content["friends"]
                 if friend["state"] == "friend" and username in (None, friend["username"])]
        need(len(found) == 1, "say to whom: there is not exactly one such friend")
        return found[0]

    def befriend(self, uid, username, name, state, confirmed):
        """Makes somebody whose chain is known a friend of that state, with the place that the chain names."""
        friend, relay = self.friend(uid), self.known_chain(uid).relay
        if friend is None:
            friend = {"uid": encode(uid), "username": username, "since": now(), "seq": 0, "uek": 0}
            self.content["friends"].append(friend)
        friend.update(name=name, state=state, confirmed=bool(confirmed or friend.get("confirmed")),
                      host=relay.host, port=relay.port)
        return friend

    def host_of(self, uid, hint=None):
        """`host[:port]` of somebody's courtyard, None for the own one. A known chain says it; before that the
        friend's entry or a hint, which only decide where to ask."""
        kept = self.state["chains"].get(encode(uid))
        if p.same(uid, self.uid):
            return None
        if kept:
            relay = chains.Chain.read(kept, uid).relay
            return None if p.same(relay.key, self.chain.relay.key) else Address.of(relay.host, relay.port).dialled
        friend = self.friend(uid)
        if friend is not None and friend.get("host"):
            hint = Address.of(friend["host"], friend["port"]).dialled
        return None if hint == self.address.dialled else hint

    def verified(self, uid, claimed):
        """The username as claimed, if the courtyard where that person lives gives it to them; else none."""
        try:
            whose, _ = self.api.person(claimed, self.host_of(uid))
        except Problem as problem:
            if problem.code != "not-found":
                raise
            return ""
        return claimed if p.same(whose, uid) else ""

    def fetch_chain(self, uid, hint=None):
        """The present chain of somebody; a fork against the pin is refused."""
        if p.same(uid, self.uid):
            return self.chain
        found = chains.Chain.read(self.api.chain(uid, self.host_of(uid, hint)), uid)
        friend = self.friend(uid)
        if friend is not None:
            if "head" in friend and not found.pinned(friend["seq"], decode(friend["head"], 32)):
                raise Refusal("FORK: the chain of " + friend["username"] + " is not the one seen before")
            friend["seq"], friend["head"] = found.seq, encode(found.head)
        self.state["chains"][encode(uid)] = found.wire()
        return found

    def known_chain(self, uid, hint=None):
        kept = self.state["chains"].get(encode(uid))
        return chains.Chain.read(kept, uid) if kept else self.fetch_chain(uid, hint)

    def sealing(self, uid):
        """(chain, counter, key) to seal to: the newest, or while their courtyard is away what is pinned."""
        try:
            chain = self.fetch_chain(uid)
            uek = self.pin_uek(uid, ueks.Uek(self.api.uek(uid, self.host_of(uid)), chain))
            return chain, uek.counter, uek.key
        except Problem as problem:
            friend = self.friend(uid)
            if problem.code not in AWAY or friend is None or "uekKey" not in friend:
                raise
            return self.known_chain(uid), friend["uek"], decode(friend["uekKey"], 32)

    def pin_uek(self, uid, found):
        friend = self.friend(uid)
        if friend is not None:
            seen = friend.get("uek", 0)
            need(found.counter >= seen, "an old UEK of " + friend["username"])
            need(found.counter > seen or friend["uekKey"] == encode(found.key), "another UEK under the same counter")
            friend["uek"], friend["uekKey"] = found.counter, encode(found.key)
        return found
