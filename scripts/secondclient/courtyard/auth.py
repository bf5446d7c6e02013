"""Section 12, the opening of a socket: who we are, and that the relay is the relay."""
from . import primitives as p


def sign_auth(seed, nonce, relay_key, host, uid, device):
    return p.sign(seed, "sign/auth", nonce, relay_key, host.encode("utf-8"), uid, device)


def verify_auth(public, signature, nonce, relay_key, host, uid, device):
    p.verify(public, signature, "sign/auth", nonce, relay_key, host.encode("utf-8"), uid, device)


def verify_ready(relay_key, proof, nonce, uid):
    p.verify(relay_key, proof, "sign/ready", nonce, uid)
