"""Sections 12 and 14, the requests: one method each, answers checked for their shape.

`host` names another courtyard."""
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request

from .strict import closed, compose, decode, encode, need, parse, whole, words

LONGEST = 4 << 20


class Problem(Exception):
    """An answer of the relay that is an error."""

    def __init__(self, code, params=None):
        super().__init__(code)
        self.code, self.params = code, params or {}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Api:
    def __init__(self, address, token=None):
        self.base, self.token = address.base() + "/api/1", token
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))

    def _call(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, method=method)
        if body is not None:
            request.data = compose(body)
            request.add_header("Content-Type", "application/json")
        if self.token is not None:
            request.add_header("Authorization", "Bearer " + self.token)
        try:
            with self._opener.open(request, timeout=40) as answer:
                raw = answer.read(LONGEST + 1)
        except urllib.error.HTTPError as failure:
            raise _problem(failure) from None
        except (OSError, http.client.HTTPException) as failure:
            raise Problem("unavailable", {"why": str(failure)}) from None
        return parse(raw, LONGEST) if raw.strip() else {}

    def relay(self):
        value = self._call("GET", "/relay")
        need(isinstance(value, dict), "an object is due")
        return {"key": decode(value.get("key"), 32), "host": words(value.get("host")),
                "claimed": value.get("claimed"), "time": whole(value.get("time"))}

    def join(self, username, chain, uek, vault, invite=None, claim=None):
        body = {"username": username, "chain": chain.wire(), "uek": uek.wire(), "vault": vault}
        if invite is not None:
            body["invite"] = encode(invite)
        if claim is not None:
            body["claim"] = encode(claim)
        self._call("POST", "/join", body)

    def free(self, username, invite=None):
        path = "/names/" + username + ("" if invite is None else "?invite=" + encode(invite))
        return self._call("GET", path).get("free") is True

    def invite(self, invite_id, host=None):
        value = self._call("GET", _at("/invites/" + encode(invite_id), host))
        need(isinstance(value, dict), "an object is due")
        return {"uid": decode(value.get("uid"), 32), "username": words(value.get("username")),
                "card": decode(value.get("card"))}

    def put_invite(self, hidden, card):
        self._call("POST", "/invites", {"id": encode(hidden), "card": encode(card)})

    def delete_invite(self, hidden):
        self._call("DELETE", "/invites/" + encode(hidden))

    def spend(self, invite_id, host=None):
        self._call("POST", _at(f"/invites/{encode(invite_id)}/spend", host), {})

    def person(self, username, host=None):
        """(uid, host[:port] of their relay, None for the own one)."""
        value = self._call("GET", _at("/people/" + username, host))
        return decode(value.get("uid"), 32), words(value["host"]) if host is not None else None

    def chain(self, uid, host=None):
        value = closed(self._call("GET", _at("/chains/" + encode(uid), host)), ("records",))
        need(isinstance(value["records"], list), "a list is due")
        return value["records"]

    def add_record(self, uid, record):
        self._call("POST", "/chains/" + encode(uid), record.wire())

    def uek(self, uid, host=None):
        return self._call("GET", _at("/ueks/" + encode(uid), host))

    def add_uek(self, uek):
        self._call("POST", "/ueks", uek.wire())

    def vault(self):
        return self._call("GET", "/vault")

    def put_vault(self, vault):
        self._call("PUT", "/vault", vault)

    def contact(self, uid, state):
        self._call("PUT", "/contacts/" + encode(uid), {"state": state})

    def outbound(self):
        """What waits for other courtyards: rows with n, id, to, host, since, tries and perhaps code."""
        rows, after = [], 0
        while True:
            value = self._call("GET", f"/outbound?after={after}&limit=100")
            need(isinstance(value, dict) and isinstance(value.get("rows"), list), "rows are due")
            rows += value["rows"]
            if not value.get("more") or not value["rows"]:
                return rows
            after = whole(value["rows"][-1]["n"])


def _at(path, host):
    return path if host is None else path + "?" + urllib.parse.urlencode({"host": host})


def _problem(failure):
    try:
        value = json.loads(failure.read(65536))
        return Problem(str(value["code"]), value.get("params"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Problem("internal", {"status": failure.code})
