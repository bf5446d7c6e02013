"""Where a relay is: scheme, host, port. Plain http only to this very machine."""
import ipaddress
import re

from .strict import Refusal, hostname, need, username

HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+))(?::([1-9][0-9]{0,4}))?\Z")


class Address:
    def __init__(self, host, port=443, plain=False):
        self.host, self.port, self.plain = hostname(host), port, plain
        need(1 <= port <= 65535, "not a port")
        need(not plain or _local(self.host), "plain http only to this machine")

    @classmethod
    def read_host(cls, text, default=443, plain=False):
        """From `host[:port]`, IPv6 in brackets; lower case from here on, IPv6 in its shortest form."""
        found = HOST.match(text)
        need(found is not None, "not a host")
        six, host, port = found.groups()
        if six is not None:
            try:
                host = str(ipaddress.IPv6Address(six))
            except ValueError as problem:
                raise Refusal("not a host") from problem
        return cls(host.lower(), int(port) if port else default, plain)

    @classmethod
    def read(cls, base):
        """From `https://host[:port]`, or http to this machine."""
        scheme, mark, host = base.partition("://")
        need(mark and scheme in ("http", "https"), "not the address of a relay")
        return cls.read_host(host, 80 if scheme == "http" else 443, scheme == "http")

    @property
    def dialled(self):
        """`host[:port]`, the port when it is not 443."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"

    @classmethod
    def of(cls, host, port):
        """Where a chain says that a relay is: https, but on this very machine."""
        return cls(host.lower(), port, _local(host.lower()))

    def base(self):
        return ("http://" if self.plain else "https://") + self.dialled

    def socket(self):
        return ("ws://" if self.plain else "wss://") + self.dialled + "/api/1/socket"


def _local(host):
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def own_form(text):
    """A `host[:port]` that is in its one form already."""
    need(isinstance(text, str) and Address.read_host(text).dialled == text, "a host in another form")
    return text


def read_handle(text):
    """(username, address) of `username@host[:port]`."""
    name, mark, host = text.strip().partition("@")
    need(mark and text.isascii(), "not a handle")
    return username(name.lower()), Address.read_host(host)
