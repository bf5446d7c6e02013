#!/usr/bin/python3
"""Own round trips, and a few things that must be refused; needs no relay."""
import sys

from courtyard import card, chain, envelope, files, invite, letter, uek, vault
from courtyard import primitives as p
from courtyard.address import Address
from courtyard.strict import Refusal, compose, decode, encode, parse

results = {"passed": 0, "failed": 0}


def check(name, action):
    try:
        action()
        results["passed"] += 1
    except Exception as failure:  # a trial reports whatever goes wrong
        results["failed"] += 1
        print(f"FAILED {name}: {type(failure).__name__}: {failure}")


def refused(action):
    try:
        action()
    except Refusal:
        return
    raise AssertionError("was accepted")


class Somebody:
    def __init__(self):
        self.seed, self.box = p.entropy(32), p.entropy(32)
        device = {"sign": encode(p.sign_pair(self.seed)[0]), "box": encode(p.box_public(self.box)),
                  "role": "admin", "exp": 0}
        self.chain = chain.genesis(self.seed, device, {"key": encode(bytes(32)), "host": "h", "port": 443}, 1)
        self.uek, self.secret = uek.issue(self.seed, self.chain, None, 1)


alice, bob = Somebody(), Somebody()


def letters():
    blank = envelope.blank(5, envelope.place("h", 443, "alice", alice.chain.uid),
                           envelope.place("h", 443, "", bob.chain.uid), "chat")
    again = envelope.Envelope.read(envelope.filled(blank, b"x").raw())
    assert again.hash() == blank.hash()
    h = blank.hash()
    sealed = letter.seal(h, [bob.uek.key, alice.uek.key], alice.box, b"{}", b"body")
    for secret in (bob.secret, alice.secret):
        opened = letter.unseal(sealed, h, [p.entropy(32), secret])
        assert (opened.meta, opened.body) == (b"{}", b"body")
        opened.prove(*alice.chain.active(1, "admin"))
        refused(lambda: opened.prove(*bob.chain.active(1, "admin")))
    for at in (0, 20, 40, 65, 70, 100, len(sealed) - 1):
        broken = bytearray(sealed)
        broken[at] ^= 1
        refused(lambda: letter.unseal(bytes(broken), h, [bob.secret]))
    refused(lambda: letter.unseal(sealed, bytes(32), [bob.secret]))


def vaults():
    wire = vault.seal_json({"v": 1, "x": "y"}, alice.chain, 7, alice.seed, 1)
    assert vault.open_json(wire, alice.chain, alice.box, 1) == (7, {"v": 1, "x": "y"})
    refused(lambda: vault.open_json({**wire, "version": 8}, alice.chain, alice.box, 1))
    refused(lambda: vault.open_json(wire, bob.chain, bob.box, 1))


def chains():
    mine = chain.Chain.read(alice.chain.wire())
    bits = p.entropy(16)
    seed, ik, _, box = card.keys(bits)
    proof = p.sign(seed, "card-proof", mine.uid, p.u64(1), ik, box)
    mine.append(alice.seed, "card", 2, ik=encode(ik), box=encode(box), proof=encode(proof))
    refused(lambda: mine.append(alice.seed, "card", 2, ik=encode(ik), box=encode(box), proof=encode(proof)))
    device = {"sign": encode(p.sign_pair(bob.seed)[0]), "box": encode(p.box_public(bob.box)), "role": "home", "exp": 0}
    mine.append(seed, "device.add", 3, device=device)
    mine.append(bob.seed, "device.revoke", 4, id=encode(p.digest("device", p.sign_pair(alice.seed)[0],
                                                                 p.box_public(alice.box))), uek_floor=0)
    refused(lambda: mine.append(alice.seed, "relay", 5, relay={"key": encode(bytes(32)), "host": "h", "port": 1}))
    again = chain.Chain.read(mine.wire(), mine.uid)
    assert again.head == mine.head and again.seq == 3 and again.pinned(0, alice.chain.head)
    refused(lambda: chain.Chain.read(mine.wire()[:1] + mine.wire()[2:]))
    assert card.read(card.show(bits).lower()) == bits


def ueks():
    second, _ = uek.issue(alice.seed, alice.chain, alice.uek.wire(), 2)
    assert second.counter == 2 and second.prev == alice.uek.hash
    refused(lambda: uek.Uek(second.wire(), bob.chain))


def invites():
    made = invite.Invite(Address("127.0.0.1", 8080, True), p.entropy(16), alice.chain.uid, alice.chain.head,
                         p.entropy(16))
    read = invite.read_link(made.link())
    assert read.link() == made.link()
    assert invite.open_card(read, invite.seal_card(made, {"name": "A"})) == {"name": "A"}
    assert Address.read("https://relay.example").dialled == "relay.example"
    refused(lambda: Address.read("http://relay.example"))


def file_chunks():
    for size in (0, 1, 65536, 65537, 200000):
        plain, key, name = bytes(size), p.entropy(32), p.entropy(16)
        sealed = files.seal(plain, name, key)
        if size:
            assert files.unseal(sealed, name, key, size, p.sha256(plain)) == plain
        refused(lambda: files.unseal(sealed[:-17], name, key, size, p.sha256(plain)))


def strictness():
    for bad in (b'{"a":1,"a":2}', b'{"a":1}x', b'[NaN]', b'"\\ud800"', b'{"a":9007199254740992}', b'\xff', b'', b'{}{}'):
        refused(lambda: parse(bad))
    for bad in ("AA=", "AA==", "A", "AB", "A+", "A/", "AA\n", " AA"):
        refused(lambda: decode(bad))
    assert parse(compose({"ü": [1]})) == {"ü": [1]}
    refused(lambda: p.exchange(p.entropy(32), bytes(32)))


for trial in (letters, vaults, chains, ueks, invites, file_chunks, strictness):
    check(trial.__name__, trial)
print(f"{results['passed']} passed, {results['failed']} failed")
sys.exit(1 if results["failed"] else 0)
