"""Section 12, the socket: opening it with proofs on both sides, then frames."""
import ssl
import time

import websocket

from . import auth
from . import primitives as p
from .api import Problem
from .strict import compose, decode, encode, need, parse, whole, words

LONGEST = 4 << 20


class Wire:
    """An opened socket. `relay_key` is the pinned key of the own relay."""

    def __init__(self, address, relay_key, uid, device, seed, instance):
        context = {} if address.plain else {"context": ssl.create_default_context()}
        try:
            self._socket = websocket.create_connection(
                address.socket(), timeout=20, suppress_origin=True, http_no_proxy=["*"], sslopt=context)
        except (OSError, websocket.WebSocketException) as failure:
            raise Problem("unavailable", {"why": str(failure)}) from None
        self.ready = self._open(address.dialled, relay_key, uid, device, seed, instance)
        self.token = words(self.ready.get("token"))
        self.cursor = whole(self.ready.get("cursor"))

    def _open(self, host, relay_key, uid, device, seed, instance):
        challenge = self.receive(20)
        need(challenge is not None and challenge["op"] == "challenge", "a challenge is due")
        need(p.same(decode(challenge.get("key"), 32), relay_key), "another relay than ours")
        need(challenge.get("host") == host, "the relay goes by another host: " + str(challenge.get("host")))
        nonce = p.entropy(32)
        signature = auth.sign_auth(seed, decode(challenge.get("nonce"), 32), relay_key, host, uid, device)
        self.send({"op": "auth", "uid": encode(uid), "device": encode(device), "nonce": encode(nonce),
                   "instance": encode(instance), "sig": encode(signature)})
        ready = self.receive(20)
        need(ready is not None, "no answer to auth")
        if ready["op"] != "ready":
            raise Problem(str(ready.get("code", "unauthorized")), ready.get("params"))
        auth.verify_ready(relay_key, decode(ready.get("proof"), 64), nonce, uid)
        return ready

    def send(self, frame):
        self._socket.send(compose(frame).decode("utf-8"))

    def receive(self, seconds):
        """The next frame, or None when the time is up."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            if left <= 0:
                return None
            self._socket.settimeout(left)
            try:
                text = self._socket.recv()
            except websocket.WebSocketTimeoutException:
                return None
            except (OSError, websocket.WebSocketException) as failure:
                raise Problem("unavailable", {"why": str(failure)}) from None
            if not text:
                raise Problem("unavailable", {"why": "the socket is closed"})
            frame = parse(text.encode("utf-8") if isinstance(text, str) else text, LONGEST)
            need(isinstance(frame, dict) and isinstance(frame.get("op"), str), "not a frame")
            return frame

    def close(self):
        self._socket.close()
