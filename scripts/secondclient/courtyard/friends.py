"""Becoming friends: invites, proofs, acceptance. Answers are sent after the letter that asks for them is confirmed."""
from . import invite as invites
from . import primitives as p
from .address import read_handle
from .api import Problem
from .person import AWAY, now
from .strict import Refusal, decode, encode, need

PASSING = ("unavailable", "internal")


def owe(state, what, uid, **rest):
    """Notes something to be sent; it is kept with the state until it is sent."""
    state["owed"].append({"what": what, "uid": encode(uid), **rest})


class Friends:
    def __init__(self, talk):
        self.talk, self.person = talk, talk.person
        self._busy = False

    def owe(self, what, uid, **rest):
        owe(self.talk.state, what, uid, **rest)

    def invite(self):
        """Makes an invite: into the vault first, then its card to the relay. Gives the link."""
        person = self.person
        made = invites.Invite(person.address, p.entropy(16), person.uid, person.chain.head, p.entropy(16))
        person.content["invites"].append({"id": encode(made.id), "secret": encode(made.secret), "created": now()})
        person.save_vault()
        person.api.put_invite(invites.hidden(made.id), invites.seal_card(made, {"name": person.content["name"]}))
        return made.link()

    def invited(self, link):
        """Takes up somebody's invite from where one lives already: by way of the own relay."""
        person, made = self.person, invites.read_link(link)
        need(isinstance(made, invites.Invite), "a claim is for somebody new")
        host = made.address.dialled if made.address.dialled != person.address.dialled else None
        shown = person.api.invite(made.id, host)
        need(p.same(shown["uid"], made.uid), "the relay names another inviter")
        chain = person.fetch_chain(made.uid, host)
        need(made.head in chain.heads, "the inviter's chain does not contain the head in the link")
        card = invites.open_card(made, shown["card"])
        person.api.contact(made.uid, "allow")
        person.api.spend(made.id, host)
        person.befriend(made.uid, person.verified(made.uid, shown["username"]), str(card.get("name")), "asked", True)
        self.owe("vault", person.uid)
        self.owe("joined", made.uid, link=link)
        self.talk.state.save()
        self.answer()
        return encode(made.uid)

    def ask(self, handle, text):
        """Asks somebody for friendship by a handle, `username@host[:port]`."""
        person = self.person
        username, address = read_handle(handle)
        host = address.dialled if address.dialled != person.address.dialled else None
        uid, there = person.api.person(username, host)
        person.fetch_chain(uid, there)
        person.api.contact(uid, "allow")
        person.befriend(uid, username, username, "asked", False)
        person.save_vault()
        self.talk.send(uid, "friend", "request", {"name": person.content["name"], "words": text,
                                                  "username": person.username})

    def agree(self, username):
        """Says yes to somebody who asks."""
        person = self.person
        found = [friend for friend in person.content["friends"]
                 if friend["state"] == "asks" and friend["username"] == username]
        need(len(found) == 1, "there is not exactly one such request")
        uid = decode(found[0]["uid"], 32)
        person.api.contact(uid, "allow")
        found[0]["state"] = "friend"
        self.owe("vault", person.uid)
        self.owe("accept", uid)
        self.answer()

    def joined(self, made):
        """The joiner's letter to the inviter, whose chain was checked against the link."""
        person = self.person
        proof = invites.proof(made.secret, made.id, made.uid, person.uid)
        self.talk.send(made.uid, "friend", "joined", {"name": person.content["name"], "username": person.username,
                                                      "invite": encode(made.id), "proof": encode(proof)})

    def take(self, envelope, author, meta, body):
        kind, username = meta.kind, envelope.sender["username"]
        if kind == "joined":
            self._proven(author, body)
        elif kind == "request":
            if self.person.friend(author) is None:
                claimed = self.person.verified(author, body["username"])
                self.person.befriend(author, claimed, body["name"], "asks", False)
        elif kind == "accept":
            self._accepted(author, body, username)
        elif kind in ("decline", "remove"):
            friend = self.person.friend(author)
            if friend is not None:
                friend["state"] = "removed"
        self.owe("vault", self.person.uid)

    def _proven(self, author, body):
        """Whoever joined by our invite, and can show its secret, is a confirmed friend."""
        named = decode(body.get("invite"), 16)
        kept = next((item for item in self.person.content["invites"] if item["id"] == encode(named)), None)
        need(kept is not None, "no such invite")
        need(kept.get("by") in (None, encode(author)), "somebody else used that invite")
        due = invites.proof(decode(kept["secret"], 16), named, self.person.uid, author)
        need(p.same(decode(body.get("proof"), 32), due), "the proof is wrong")
        username = self.person.verified(author, body["username"])
        kept["by"] = encode(author)
        self.person.befriend(author, username, body["name"], "friend", True)
        self.owe("accept", author)

    def _accepted(self, author, body, username):
        friend = self.person.friend(author)
        need(friend is not None and friend["state"] == "asked", "nobody asked")
        friend["state"], friend["name"] = "friend", body.get("name", friend["name"])
        friend["username"] = body.get("username", username)

    def answer(self):
        """Pays what is owed: the vault saved, proofs, acceptances, stale receipts, letters sealed again."""
        if self._busy:
            return
        self._busy, owed, at = True, self.talk.state["owed"], 0
        try:
            while at < len(owed):
                try:
                    self._pay(owed[at])
                except (Refusal, Problem) as failure:
                    code = getattr(failure, "code", None)
                    self.talk.report(f"not sent: {failure}")
                    if code in AWAY:  # stays owed, and the others do not wait for it
                        at += 1
                        continue
                    if code in PASSING:
                        raise
                owed.pop(at)
                self.talk.state.save()
        finally:
            self._busy = False

    def _pay(self, debt):
        uid, send = decode(debt["uid"], 32), self.talk.send
        if debt["what"] == "vault":
            self.person.save_vault()
        elif debt["what"] == "joined":
            self.joined(invites.read_link(debt["link"]))
        elif debt["what"] == "accept":
            send(uid, "friend", "accept", {"name": self.person.content["name"], "username": self.person.username})
        elif debt["what"] == "stale":
            send(uid, "receipt", "stale", {"id": debt["id"], "uek": self.person.own_uek().wire()})
        elif debt["what"] == "again":
            sent = debt["sent"]
            send(uid, sent["type"], sent["kind"], sent["body"], sent)
