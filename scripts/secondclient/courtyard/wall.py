"""Section 15: what a reader of a public wall checks. Only the vectors use this: we have no wall and follow none."""
from . import primitives as p
from .address import own_form
from .signed import Signed
from .strict import closed, decode, encode, has, need, parse, username, whole

LONGEST, PAGE = 43008, 1 << 20
FIELDS = {
    "post": ("id", "text", "photos"),
    "edit": ("id", "text", "photos", "posted", "gone"),
    "delete": ("id", "gone"),
    "profile": ("name", "about", "gone"),
}


class UnknownSigner(Exception):
    """By nobody who was active in this chain: the chain is fetched anew before anything is said of the wall."""


def _characters(value, least, most):
    need(isinstance(value, str) and least <= len(value) <= most, "text of another length is due")
    return value


def _photo(value, *more):
    closed(value, ("hash", "size", "width", "height") + more, ("alt",))
    whole(value["size"], 1, 2 << 20)
    whole(value["width"], 1, 20000)
    whole(value["height"], 1, 20000)
    _characters(value.get("alt", ""), 0, 500)
    return decode(value["hash"], 32)


def _signed(record, label, chain, value):
    need(p.same(decode(value["uid"], 32), chain.uid), "somebody else's")
    record.check(label)
    device = chain.author(record.by, value["ts"])
    if device is None or device.role == "session":
        raise UnknownSigner()


class Change:
    """A change of the person with this chain, checked alone."""

    def __init__(self, record, chain):
        need(len(record.payload) <= LONGEST, "the change is too long")
        value = parse(record.payload, depth=3)
        need(isinstance(value, dict) and value.get("op") in FIELDS, "an unknown op")
        self.op, first = value["op"], value.get("seq") == 1
        closed(value, ("v", "uid", "seq", "ts", "op") + (() if first else ("prev",)) + FIELDS[self.op],
               ("picture",) if self.op == "profile" else ())
        need(whole(value["v"]) == 1, "an unknown version")
        self.seq, self.ts = whole(value["seq"], 1), whole(value["ts"])
        self.prev = None if first else decode(value["prev"], 32)
        self.gone = value.get("gone", [])
        getattr(self, "_" + self.op)(value)
        _signed(record, "sign/post", chain, value)
        self.hash = p.digest("post", record.payload)

    @property
    def first(self):
        """The place of the post's first change, by which it is shown."""
        return self.gone[0] if self.gone else self.seq

    def _post(self, value):
        decode(value["id"], 16)
        self.text, self.photos = _characters(value["text"], 0, 20000), value["photos"]
        need(len(self.text.encode("utf-8")) <= 40000, "the text is too long")
        need(isinstance(self.photos, list) and len(self.photos) <= 4, "at most four photos")
        need(self.text or self.photos, "neither text nor photos")
        hashes = [_photo(photo, "thumb") for photo in self.photos]
        need(len(set(hashes)) == len(hashes), "a photo twice")
        need(all(len(decode(photo["thumb"])) <= 64 for photo in self.photos), "a long thumb")

    def _edit(self, value):
        self._post(value)
        whole(value["posted"], 0, self.ts)
        self._names(value)

    def _delete(self, value):
        decode(value["id"], 16)
        self._names(value)

    def _profile(self, value):
        _characters(value["name"], 1, 64)
        _characters(value["about"], 0, 1000)
        if "picture" in value:
            _photo(value["picture"])
        self._names(value, 0)

    def _names(self, value, least=1):
        gone = value["gone"]
        need(isinstance(gone, list) and least <= len(gone) <= 2000, "the former changes are due")
        for before, seq in zip([0] + gone, gone):
            whole(seq, before + 1, self.seq - 1)


class Head:
    def __init__(self, record, chain):
        value = closed(parse(record.payload, 4096, 1), ("v", "uid", "seq", "hash", "ts"))
        need(whole(value["v"]) == 1, "an unknown version")
        self.seq, self.hash, self.ts = whole(value["seq"], 1), decode(value["hash"], 32), whole(value["ts"])
        _signed(record, "sign/wall-head", chain, value)

    def pin(self):
        return {"seq": self.seq, "hash": encode(self.hash), "ts": self.ts}


class Walk:
    """A wall, read page by page from a pin (seq 0: from the beginning) to its end."""

    def __init__(self, chain, pin):
        self._chain, self.end, self._stubs = chain, None, set()
        self._seq, self._hash, self._ts = pin["seq"], decode(pin["hash"], 32), pin["ts"]
        self._least = (self._seq, self._ts)

    def take(self, raw):
        """The changes of the next page that are not stubs."""
        need(self.end is None, "beyond its end")
        page = has(parse(raw, PAGE), "uid", "username", "host", "head", "changes", "more")
        username(page["username"])
        own_form(page["host"])
        need(decode(page["uid"], 32) == self._chain.uid, "somebody else's wall")
        head, changes = Head(Signed.read(page["head"]), self._chain), page["changes"]
        need(head.seq >= self._least[0] and head.ts >= self._least[1], "the head went back")
        self._least = (head.seq, head.ts)
        need(isinstance(changes, list) and len(changes) <= 100, "at most 100 changes")
        found = [change for change in map(self._next, changes) if change is not None]
        need(self._seq <= head.seq, "behind its head")
        if page["more"]:
            need(changes and self._seq < head.seq, "no more where more was promised")
            return found
        need(self._seq == head.seq and self._hash == head.hash, "it does not end at its head")
        need(head.ts >= self._ts, "the head is older than the last change")
        need(not self._stubs, "a stub that nothing accounts for")
        self.end = head.pin()
        return found

    def _next(self, item):
        if "seq" in has(item):
            closed(item, ("seq", "hash"))
            need(whole(item["seq"]) == self._seq + 1, "a gap")
            self._seq, self._hash = item["seq"], decode(item["hash"], 32)
            self._stubs.add(self._seq)
            return None
        change = Change(Signed.read(item), self._chain)
        need(change.seq == self._seq + 1, "a gap")
        need(change.seq == 1 or p.same(change.prev, self._hash), "it does not continue its predecessor")
        need(change.ts >= self._ts, "dated before its predecessor")
        self._seq, self._hash, self._ts = change.seq, change.hash, change.ts
        self._stubs -= set(change.gone)
        return change
