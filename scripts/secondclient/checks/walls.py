"""Public walls."""
import json

from courtyard import jpeg, wall
from courtyard.chain import Chain
from courtyard.signed import Signed
from courtyard.strict import Refusal, decode, encode


def walls(tally, vectors):
    chain = Chain.read(vectors["chain"], decode(vectors["uid"]))
    for case in vectors["good"]:
        change = tally.works(case["op"], lambda: wall.Change(Signed.read(case["record"]), chain))
        if change is None:
            continue
        got = {"op": change.op, "seq": change.seq, "ts": change.ts, "hash": encode(change.hash), "first": change.first}
        if "text" in case:
            got.update({"text": change.text, "photos": len(change.photos)})
        tally.same("change", got, {name: case[name] for name in got})
        head = tally.works("head", lambda: wall.Head(Signed.read(case["head"]), chain))
        tally.same("head", (head.seq, head.hash), (change.seq, change.hash))
    for case in vectors["bad"]:
        tally.refused(case["why"], lambda: _alone(case["record"], chain))
    for case in vectors["walks"]:
        verdict, seqs, end = _walk(chain, case["pin"], case["pages"])
        tally.same(case["why"], verdict, case["verdict"])
        if verdict == "fine":
            tally.same(case["why"], (seqs, end), (case["seqs"], case["end"]))
    for case in vectors["photos"]:
        check = tally.works if case["ok"] else tally.refused
        check("photo: " + case["why"], lambda: jpeg.sides(decode(case["jpeg"])))


def _alone(record, chain):
    try:
        wall.Change(Signed.read(record), chain)
    except wall.UnknownSigner:
        raise Refusal("by nobody in the chain") from None


def _walk(chain, pin, pages):
    """(verdict, seqs of the changes, the new pin)."""
    walk, seqs = wall.Walk(chain, pin), []
    try:
        for page in pages:
            seqs += [change.seq for change in walk.take(json.dumps(page).encode("utf-8"))]
    except wall.UnknownSigner:
        return "chain", None, None
    except Refusal:
        return "altered", None, None
    return "fine" if walk.end else "unfinished", seqs, walk.end


CHECKS = {"wall": walls}
