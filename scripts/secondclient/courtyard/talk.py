"""Letters over an opened socket: sending, receiving, confirming."""
import time

from . import content
from . import envelope as envelopes
from . import letter as letters
from . import primitives as p
from .address import Address
from .api import Problem
from .friends import Friends
from .person import AWAY, now
from .strict import Refusal, closed, compose, decode, encode, need, parse, whole, words
from .uek import Uek
from .wire import Wire

AHEAD = 10 * 60 * 1000
KINDS = ("chat", "friend", "receipt")
QUIET = ("edit", "delete", "react", "read", "profile", "decline", "remove")  # nobody is woken for these (section 16)


class Talk:
    def __init__(self, person, report=print):
        self.person, self.state, self.report = person, person.state, report
        self.friends = Friends(self)
        relay_key = person.chain.relay.key
        self.wire = Wire(person.address, relay_key, person.uid, person.device, person.seed,
                         decode(self.state["instance"], 16))
        person.api.token = self.wire.token
        self._answers = {}
        self._later, self._number = [], 0
        if whole(self.wire.ready.get("vault")) > self.state["vaultVersion"]:
            person.merge_vault()
        person.renew_uek()
        self.friends.answer()

    def close(self):
        self.state.save()
        self.wire.close()

    # -- sending ----------------------------------------------------------------

    def send(self, uid, kind_of_envelope, kind, body, before=None):
        """Seals and puts a letter; gives its mid and clock. `before`: what was sent, if it is sealed again."""
        person, mid = self.person, decode(before["mid"], 16) if before else p.entropy(16)
        chain, counter, sealed_to = person.sealing(uid)
        envelope = self._blank(chain, kind_of_envelope)
        key = encode(uid)
        clock, seq = max(now(), self.state["clocks"].get(key, 0) + 1), self.state["seqs"].get(key, 0) + 1
        keys, owners = [sealed_to], [uid]
        if kind_of_envelope == "chat":
            keys, owners = keys + [person.own_uek().key], owners + [person.uid]
        if before is None:
            self.state["seqs"][key], self.state["clocks"][key] = seq, clock
        else:
            clock, seq = before["clock"], before["seq"]
        meta = content.compose_meta(kind, mid, person.device, seq, clock, person.chain, counter)
        sealed = letters.seal(envelope.hash(), keys, person.box, meta, compose(body))
        self.state["sent"].append({"id": encode(envelope.id), "to": key, "type": kind_of_envelope, "kind": kind,
                                   "mid": encode(mid), "clock": clock, "seq": seq, "body": body})
        self.state.save()
        self.put(envelopes.filled(envelope, sealed), owners, kind in QUIET)
        return mid, clock

    def _blank(self, chain, kind, exp=0):
        person, home, there = self.person, self.person.address, chain.relay
        friend = person.friend(chain.uid) or {}
        sender = envelopes.place(home.host, home.port, person.username, person.uid)
        reader = envelopes.place(there.host, there.port, friend.get("username", ""), chain.uid)
        return envelopes.blank(now(), sender, reader, kind, exp)

    def put(self, envelope, owners, quiet=False):
        self.wire.send({"op": "put", "for": [encode(uid) for uid in owners], "quiet": quiet, "env": envelope.wire()})
        name, until = encode(envelope.id), time.monotonic() + 20
        while name not in self._answers:
            need(time.monotonic() < until, "no answer to put")
            self.pump(1)
        answer = self._answers.pop(name)
        if answer["op"] == "refused":
            raise Problem(str(answer.get("code")), answer.get("params"))

    def say(self, uid, text):
        mid, clock = self.send(uid, "chat", "text", {"text": text})
        self._log(uid, self.person.uid, mid, clock, "chat", "text", {"text": text}, seen=True)

    def read(self, entry):
        """Tells the author that the text was seen."""
        self.send(decode(entry["peer"], 32), "chat", "read", {"upto": entry["clock"], "mid": entry["mid"]})

    # -- receiving --------------------------------------------------------------

    def pump(self, seconds):
        """Takes one frame, if one comes in time."""
        frame = self.wire.receive(seconds)
        if frame is None:
            return
        op = frame["op"]
        if op == "refused" and "id" not in frame:
            raise Problem(str(frame.get("code")), frame.get("params"))
        if op in ("accepted", "refused"):
            self._answers[frame.get("id")] = frame
        elif op == "deliver":
            self._number = whole(frame.get("n"), 1)
            self._deliver(frame.get("env"))
            self._confirm()
            self.friends.answer()
        elif op == "event" and frame.get("what") == "carried":
            self._carried(frame.get("params"))

    def _confirm(self):
        """Nothing is confirmed past a letter whose author's courtyard cannot be asked now: it comes again."""
        if self._later:
            return
        self.state["cursor"] = max(self.state["cursor"], self._number)
        self.state.save()
        self.wire.send({"op": "confirm", "n": self._number})

    def _deliver(self, value):
        """One envelope. What cannot be read is reported and done with; what cannot be asked about is tried again."""
        try:
            envelope = envelopes.Envelope(value)
            if envelope.type in KINDS:
                self._letter(envelope)
            elif envelope.type == "returned":
                self._returned(envelope)
        except Problem as failure:
            self.report(f"unread: {failure}")
            if failure.code in AWAY:
                self._later.append(value)
        except Refusal as failure:
            self.report(f"unread: {failure}")

    def _try_later(self):
        """Opens what waited for somebody's courtyard."""
        waiting, self._later = self._later, []
        for value in waiting:
            self._deliver(value)
        if waiting:
            self._confirm()
            self.friends.answer()

    def _carried(self, params):
        """The other courtyard has a letter of ours on its disk."""
        for item in self.state["sent"]:
            if item["id"] == params.get("id"):
                item["carried"] = "kept" if params.get("kept") is True else "there"
        self.state.save()

    def _returned(self, envelope):
        """Our own relay says that a letter of ours came back. Nobody else may say so."""
        person = self.person
        need(p.same(envelope.sender["id"], person.chain.relay.key), "somebody else says that a letter came back")
        need(p.same(envelope.reader["id"], person.uid), "a letter for somebody else")
        back = closed(parse(envelope.data), ("id", "to", "code"))
        decode(back["id"], 16)
        if any(entry["mid"] == encode(envelope.id) for entry in self.state["log"]):
            return
        for item in self.state["sent"]:
            if item["id"] == back["id"] and item["to"] == back["to"]:
                item["returned"] = words(back["code"], 40)
        self._log(decode(back["to"], 32), envelope.sender["id"], envelope.id, envelope.ts, "returned", "returned", back,
                  seen=False)

    def _letter(self, envelope):
        person, sender = self.person, envelope.sender["id"]
        own = p.same(sender, person.uid)
        need(own or p.same(envelope.reader["id"], person.uid), "a letter for somebody else")
        peer, h = envelope.reader["id"] if own else sender, envelope.hash()
        try:
            opened = letters.unseal(envelope.data, h, person.secrets())
        except Refusal:
            if not own and person.friend(sender) is not None and envelope.type in ("chat", "friend"):
                self.friends.owe("stale", sender, id=encode(envelope.id))
            raise
        meta = content.Meta(opened.meta)
        place = envelope.value["from"]
        chain = person.known_chain(sender, Address.of(place["ip"], place["port"]).dialled)
        if meta.chain > chain.seq or meta.dev not in chain.devices:
            chain = person.fetch_chain(sender)
        need(chain.pinned(meta.chain, meta.head), "FORK: the sender's chain is not the one the letter names")
        opened.prove(chain.device(meta.dev, envelope.ts))
        self._take(envelope, peer, sender, meta, content.read_body(envelope.type, meta.kind, opened.body))

    def _take(self, envelope, peer, author, meta, body):
        key = encode(peer)
        clock = min(meta.clock, envelope.ts + AHEAD)
        self.state["clocks"][key] = max(clock, self.state["clocks"].get(key, 0))
        if any(entry["mid"] == encode(meta.mid) and entry["author"] == encode(author) for entry in self.state["log"]):
            return
        own = p.same(author, self.person.uid)
        self._log(peer, author, meta.mid, clock, envelope.type, meta.kind, body, seen=own)
        if own:
            return
        if envelope.type == "friend":
            self.friends.take(envelope, author, meta, body)
        elif envelope.type == "receipt" and meta.kind == "stale":
            self._again(author, body)
        elif envelope.type == "chat" and meta.kind == "profile":
            friend = self.person.friend(author)
            if friend is not None:
                friend["name"] = body["name"]

    def _log(self, peer, author, mid, clock, kind_of_envelope, kind, body, seen):
        self.state["log"].append({"peer": encode(peer), "author": encode(author), "mid": encode(mid), "clock": clock,
                                  "type": kind_of_envelope, "kind": kind, "body": body, "seen": seen})

    def _again(self, author, body):
        """A letter of ours could not be opened: seal it to the newer UEK, same mid, new id."""
        sent = next((item for item in self.state["sent"] if item["id"] == body["id"]), None)
        need(sent is not None and sent["to"] == encode(author), "nothing of ours has that id")
        self.person.pin_uek(author, Uek(body["uek"], self.person.fetch_chain(author)))
        self.friends.owe("again", author, sent=sent)

    def wait(self, wanted, seconds):
        """The first unseen log entry that `wanted` accepts, or None. Marks it seen."""
        until = time.monotonic() + seconds
        while True:
            for entry in self.state["log"]:
                if not entry["seen"] and wanted(entry):
                    entry["seen"] = True
                    self.state.save()
                    return entry
            if time.monotonic() >= until:
                return None
            self.pump(min(1, max(0.05, until - time.monotonic())))
            self._try_later()


