"""Section 14, WebFinger as anybody may ask it: who a handle is, by the word of the relay there."""
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request

from .address import Address, read_handle
from .api import Problem
from .strict import Refusal, decode, need

UID, RELAY = "urn:courtyard:uid", "urn:courtyard:relay"


def ask(handle):
    """(uid, address of the relay) of `username@host[:port]`."""
    username, address = read_handle(handle)
    address = Address.of(address.host, address.port)
    account = "acct:" + username + "@" + address.dialled
    url = address.base() + "/.well-known/webfinger?" + urllib.parse.urlencode({"resource": account})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=20) as answer:
            need(answer.headers.get_content_type() == "application/jrd+json", "another media type than RFC 7033's")
            found = json.loads(answer.read(1 << 16))
    except urllib.error.HTTPError as failure:
        raise Problem("not-found" if failure.code == 404 else "internal", {"status": failure.code}) from None
    except (OSError, http.client.HTTPException) as failure:
        raise Problem("unavailable", {"why": str(failure)}) from None
    except ValueError as failure:
        raise Refusal("not a JRD") from failure
    need(isinstance(found, dict) and found.get("subject") == account, "about somebody else")
    links = [link for link in found.get("links", []) if isinstance(link, dict) and link.get("rel") == RELAY]
    need(len(links) == 1, "one relay is due")
    return decode(found.get("properties", {}).get(UID), 32), Address.read(links[0].get("href", ""))
