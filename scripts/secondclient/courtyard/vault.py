"""Section 5: one sealed blob per person."""
from . import primitives as p
from .strict import closed, compose, decode, encode, need, parse, whole

LABEL = "sign/vault"
UNIT, MOST = 4096, 1 << 20


def slots(chain, at):
    """The box keys a vault is sealed to: devices, then the card."""
    keys = [device.box for device in chain.active(at, "admin", "home")]
    return keys + ([chain.card["box"]] if chain.card else [])


def _kid(shared, version):
    return p.digest("vault/kid", shared, p.u64(version))[:8]


def _wrap(uid, version, eph, i):
    return p.nonce("vault/wrap", uid, p.u64(version), eph, p.u8(i))


def seal(content, uid, version, keys, key=None, eph=None):
    """The blob. `key` and `eph` (a secret) are given by vectors only."""
    key, eph = key or p.entropy(32), eph or p.entropy(32)
    public = p.box_public(eph)
    head = p.u8(1) + p.u64(version) + public + p.u8(len(keys))
    for i, slot in enumerate(keys):
        shared = p.box_shared(eph, slot)
        head += _kid(shared, version) + p.box_seal(key, _wrap(uid, version, public, i), shared)
    body = p.pad(content, UNIT, MOST)
    return head + p.secretbox_seal(body, p.nonce("vault/body", uid, p.sha256(head)), key)


def unseal(blob, uid, version, secret):
    need(len(blob) > 42 and blob[0] == 1, "not a vault")
    need(blob[1:9] == p.u64(version), "a vault of another version")
    public, count = blob[9:41], blob[41]
    end = 42 + 56 * count
    need(count >= 1 and len(blob) > end, "not a vault")
    shared = p.box_shared(secret, public)
    for i in range(count):
        slot = blob[42 + 56 * i:98 + 56 * i]
        if p.same(slot[:8], _kid(shared, version)):
            key = p.box_open(slot[8:], _wrap(uid, version, public, i), shared)
            padded = p.secretbox_open(blob[end:], p.nonce("vault/body", uid, p.sha256(blob[:end])), key)
            return p.unpad(padded, UNIT, MOST)
    need(False, "no slot for this key")


def wire(blob, uid, version, seed):
    public, _ = p.sign_pair(seed)
    signature = p.sign(seed, LABEL, uid, p.u64(version), blob)
    return {"version": version, "blob": encode(blob), "by": encode(public), "sig": encode(signature)}


def read(value, chain, at):
    """(version, blob) of a vault on the wire, its signature checked."""
    closed(value, ("version", "blob", "by", "sig"))
    version, blob, by = whole(value["version"], 1), decode(value["blob"]), decode(value["by"], 32)
    signers = [device.sign for device in chain.active(at, "admin", "home", "session")]
    signers += [chain.card["ik"]] if chain.card else []
    need(any(p.same(by, signer) for signer in signers), "signed by nobody who may")
    p.verify(by, decode(value["sig"], 64), LABEL, chain.uid, p.u64(version), blob)
    return version, blob


def seal_json(value, chain, version, seed, at):
    return wire(seal(compose(value), chain.uid, version, slots(chain, at)), chain.uid, version, seed)


def open_json(value, chain, secret, at):
    version, blob = read(value, chain, at)
    return version, parse(unseal(blob, chain.uid, version, secret))
