"""Under which names a console may be called: another name that leads here is how a foreign page reaches it."""

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Hosts:
    """Names in requests' Host that are answered: those of this machine, the address bound to, and those declared.

    Args:
        bound: address that is listened on.
        named: further names, such as the one of a proxy.
    """

    def __init__(self, bound: str, named: Sequence[str] = ()) -> None:
        self._known = frozenset(name.lower().strip("[]") for name in (*LOOPBACK, bound, *named))

    def knows(self, host: str | None) -> bool:
        """Return whether a request's Host is one of them, whatever its port."""
        return bool(host) and (_name_in(f"//{host}") or "") in self._known

    def same_origin(self, origin: str, host: str | None) -> bool:
        """Return whether the page that a request comes from, by its Origin, is one of the console it is sent to."""
        return bool(host) and origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower())


def _name_in(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
