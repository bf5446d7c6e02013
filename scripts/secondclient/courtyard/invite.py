"""Section 9: invite and claim links, the sealed card, the proof of having been invited."""
from . import primitives as p
from .address import Address
from .strict import Refusal, compose, decode, encode, need, parse


class Invite:
    def __init__(self, address, invite_id, uid, head, secret):
        self.address, self.id, self.uid, self.head, self.secret = address, invite_id, uid, head, secret

    def link(self):
        parts = ".".join(encode(part) for part in (self.uid, self.head, self.secret))
        return f"{self.address.base()}/i/{encode(self.id)}#1.{parts}"


class Claim:
    def __init__(self, address, token, relay_key, home=None, code=None):
        self.address, self.token, self.relay_key = address, token, relay_key
        self.home, self.code = home, code


def read_link(link):
    page, _, fragment = link.partition("#")
    base, mark, name = page.partition("/i/")
    need(mark == "/i/" and name and "/" not in name, "not an invite link")
    address, parts = Address.read(base), fragment.split(".")
    if name == "claim":
        need(parts[0] == "0" and len(parts) in (3, 5), "not a claim link")
        home = decode(parts[3], 32) if len(parts) == 5 else None
        return Claim(address, decode(parts[1], 16), decode(parts[2], 32), home, parts[4] if home else None)
    need(parts[0] == "1" and len(parts) == 4, "not an invite link")
    return Invite(address, decode(name, 16), decode(parts[1], 32), decode(parts[2], 32), decode(parts[3], 16))


def hidden(invite_id):
    """What the relay stores in place of the id."""
    return p.digest("invite/id", invite_id)


def seal_card(invite, card):
    key = p.derive(invite.secret, "invite/card", invite.uid)
    return p.secretbox_seal(compose(card), p.nonce("invite/card-nonce", invite.id), key)


def open_card(invite, sealed):
    key = p.derive(invite.secret, "invite/card", invite.uid)
    card = parse(p.secretbox_open(sealed, p.nonce("invite/card-nonce", invite.id), key))
    if not isinstance(card, dict):
        raise Refusal("not a card")
    return card


def proof(secret, invite_id, inviter, joiner):
    return p.mac(secret, "invite/proof", invite_id, inviter, joiner)
