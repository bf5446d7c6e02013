"""Between relays: cards, links, hop records."""
import json

from courtyard import hop, peer
from courtyard import primitives as p
from courtyard.signed import Signed
from courtyard.strict import decode, encode


def _changed(raw):
    """Each byte changed, one after the other."""
    for at, byte in enumerate(raw):
        yield at, raw[:at] + bytes([byte ^ 1 << at % 8]) + raw[at + 1:]


def _garbled(text):
    """The same for a text frame; what is not even text is left out."""
    for at, raw in _changed(text.encode("utf-8")):
        try:
            yield at, raw.decode("utf-8")
        except UnicodeDecodeError:
            continue


def link(tally, vectors):
    seed_a, seed_b = decode(vectors["a"]["seed"]), decode(vectors["b"]["seed"])
    eph_a, eph_b = decode(vectors["eph_a_secret"]), decode(vectors["eph_b_secret"])
    hello, answer, proof = (vectors[name] for name in ("hello", "answer", "proof"))
    names = [vectors["b"]["host"]]

    def called(text):
        return peer.Called(seed_b, names, eph_b, text)

    def caller(text):
        return peer.Caller(seed_a, eph_a, hello, text)

    for one in ("a", "b"):
        seed = decode(vectors[one]["seed"])
        got = {"key": encode(p.sign_pair(seed)[0]), "box_secret": encode(peer.box_secret(seed))}
        tally.same(one, got, {name: vectors[one][name] for name in got})
    key_a, key_b = decode(vectors["a"]["key"]), decode(vectors["b"]["key"])
    tally.same("hello", peer.hello(key_a, vectors["a"]["host"], names[0], eph_a), hello)
    b = called(hello)
    tally.same("answer", b.answer, answer)
    a = caller(answer)
    tally.same("T", encode(a.transcript), vectors["T"])
    tally.same("keys", (encode(a.outgoing), encode(a.incoming)), (vectors["i2r"], vectors["r2i"]))
    tally.same("keys of both", (a.outgoing, a.incoming), (b.incoming, b.outgoing))
    tally.same("proof", a.proof, proof)
    tally.works("proof", lambda: b.take_proof(proof))
    for case in vectors["hellos"]["good"]:
        got = tally.works("hello " + case["why"], lambda: called(case["text"]).answer)
        tally.same("hello " + case["why"], got, case["answer"])
    for case in vectors["answers"]["good"]:
        tally.works("answer " + case["why"], lambda: caller(case["text"]))
    for kind, read in (("hellos", called), ("answers", caller), ("proofs", b.take_proof)):
        for case in vectors[kind]["bad"]:
            tally.refused(kind + ": " + case["why"], lambda: read(case["text"]))

    # A changed hello may be a hello; but then its answer is not for what a has said.
    for at, text in _garbled(hello):
        tally.refused(f"hello, byte {at}", lambda: caller(called(text).answer))
    for at, text in _garbled(answer):
        tally.refused(f"answer, byte {at}", lambda: caller(text))
    for at, text in _garbled(proof):
        tally.refused(f"proof, byte {at}", lambda: b.take_proof(text))
    _frames(tally, vectors, b.incoming, b.outgoing)
    _cards(tally, vectors, seed_b, key_b)


def _frames(tally, vectors, there, back):
    counters, ways = {"i2r": 0, "r2i": 0}, {"i2r": there, "r2i": back}
    for frame in vectors["frames"]:
        way, plain, data = frame["way"], frame["plain"].encode("utf-8"), decode(frame["data"])
        tally.same("frame", encode(peer.seal_frame(ways[way], counters[way], plain)), frame["data"])
        tally.same("frame", tally.works("frame", lambda: peer.open_frame(ways[way], counters[way], data)), plain)
        read = peer.read_request if way == "i2r" else peer.read_response
        tally.works(frame["plain"][:40], lambda: read(plain))
        counters[way] += 1
        tally.refused("frame repeated", lambda: peer.open_frame(ways[way], counters[way], data))
    for case in vectors["wrong_frames"]:
        tally.refused(case["why"], lambda: peer.open_frame(there, 0, decode(case["data"])))
    for at, data in _changed(decode(vectors["frames"][0]["data"])):
        tally.refused(f"frame, byte {at}", lambda: peer.open_frame(there, 0, data))
    largest = bytes(vectors["largest_plaintext"])
    tally.works("largest", lambda: peer.open_frame(there, 0, peer.seal_frame(there, 0, largest)))
    tally.refused("a byte more", lambda: peer.open_frame(there, 0, peer.seal_frame(there, 0, largest + b"\0")))


def _cards(tally, vectors, seed, key):
    good = vectors["cards"]["good"]
    tally.same("card", peer.make_card(seed).wire(), good)
    tally.same("card", peer.read_card(Signed.read(good), key), p.box_public(peer.box_secret(seed)))
    for case in vectors["cards"]["bad"]:
        tally.refused("card: " + case["why"], lambda: peer.read_card(Signed.read(case["card"]), key))


def hops(tally, vectors):
    a, b, now = vectors["a"], vectors["b"], vectors["now"]
    seed_a, seed_b, key_a, key_b = (decode(one[name]) for name in ("seed", "key") for one in (a, b))
    box = p.box_public(peer.box_secret(seed_b))
    for case in vectors["good"]:
        eph = decode(case["eph_secret"])
        record, back = hop.seal(seed_a, a["host"], key_b, box, eph, case["ts"], case["frames"])
        tally.same(case["why"] + ": record", encode(record), case["record"])
        there = hop.keys(p.exchange(eph, box), key_b, p.box_public(eph))[0]
        tally.same(case["why"] + ": keys", (encode(there), encode(back)), (case["there"], case["back"]))
        found = tally.works(case["why"], lambda: hop.Hop(seed_b, record, now))
        if found is not None:
            tally.same(case["why"] + ": frames", found.frames, [json.loads(frame) for frame in case["frames"]])
            tally.same(case["why"] + ": who", (found.by, found.host, found.back), (key_a, a["host"], back))
        plain, answer = case["answer_plain"].encode("utf-8"), decode(case["answer"])
        tally.same(case["why"] + ": answer", hop.seal_answer(back, decode(case["answer_nonce"]), plain), answer)
        opened = tally.works(case["why"] + ": answer", lambda: hop.open_answer(back, answer))
        tally.same(case["why"] + ": answer", opened, json.loads(plain))
    first = vectors["good"][0]
    back = decode(first["back"])
    for at, record in _changed(decode(first["record"])):
        tally.refused(f"record, byte {at}", lambda: hop.Hop(seed_b, record, now))
    for at, answer in _changed(decode(first["answer"])):
        tally.refused(f"answer, byte {at}", lambda: hop.open_answer(back, answer))
    for case in vectors["bad"]:
        tally.refused(case["why"], lambda: hop.Hop(seed_b, decode(case["record"]), now))
    for case in vectors["bad_answers"]:
        tally.refused("answer: " + case["why"], lambda: hop.open_answer(back, decode(case["answer"])))
    for case in vectors["sizes"]:
        name, plain = f"{case['bytes']} bytes", bytes(case["bytes"])
        if case["padded"]:
            tally.same(name, len(hop.pad(plain)), case["padded"])
        else:
            tally.refused(name, lambda: hop.seal_answer(back, bytes(p.NONCE), plain))
    record, there, zero = decode(first["record"]), decode(first["there"]), bytes(p.NONCE)
    inside = p.secretbox_open(record[33:], zero, there)
    longer = record[:33] + p.secretbox_seal(inside.ljust(4 * hop.STEP, b"\0"), zero, there)
    too_long = record[:33] + p.secretbox_seal(inside.ljust(5 * hop.STEP, b"\0"), zero, there)
    tally.works("the longest record", lambda: hop.Hop(seed_b, longer, now))
    tally.refused("a record that is too long", lambda: hop.Hop(seed_b, too_long, now))


CHECKS = {"peer": link, "hop": hops}
