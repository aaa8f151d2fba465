"""Which proxy is used for an address, and a client that uses it.

The environment variables are those that curl reads. httpx is given one proxy, and does not read the environment itself: it
would fail for one invalid entry, even if that is for another scheme.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

import httpx

from ..exceptions import refused, unreadable, without_secrets
from .connection import DEFAULT_PORTS
from .tls import Verify, context_for

Address: TypeAlias = IPv4Address | IPv6Address


class Proxy(NamedTuple):
    """A proxy.

    Attributes:
        variable: the environment variable that names it, such as "https_proxy".
        url: its address, with user and password if it needs them.
    """

    variable: str
    url: str

    def __repr__(self) -> str:
        return f"<Proxy {self.variable} {without_secrets(self.url)}>"


def proxy_for(url: str, variables: Mapping[str, str]) -> Proxy | None:
    """The proxy for a URL; None if there is none, and for this machine.

    Args:
        variables: values by the part of the variable's name before "_proxy", in lower case: "http", "https", "all", "no".
    """
    parts = urlsplit(url)
    scheme = next((name for name in (parts.scheme, "all") if variables.get(name)), None)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or DEFAULT_PORTS.get(parts.scheme.encode())
    if scheme is None or _is_this_machine(host) or _is_exempt(host, port, parts.scheme, variables.get("no", "")):
        return None
    proxy = variables[scheme].strip()
    return Proxy(f"{scheme}_proxy", proxy if "://" in proxy else f"http://{proxy}")


def client_through(proxy: Proxy, verify: Verify) -> httpx.AsyncClient:
    """An httpx client that uses a proxy.

    Raises:
        BadRequestError: the proxy's address is not usable, and the message names the variable; or see `context_for`.
    """
    limits = httpx.Limits(max_connections=10_000, max_keepalive_connections=None, keepalive_expiry=60.0)
    where = f"the environment's {proxy.variable}, {unreadable(proxy.url)},"
    context = context_for(verify)
    try:
        _check(proxy.url)
        return httpx.AsyncClient(proxy=proxy.url, verify=context, trust_env=False, limits=limits, timeout=None)  # noqa: S113  (deadlines are the call's)
    except ImportError:
        raise refused(proxy.variable, f"{where} is a SOCKS proxy: install httpx[socks] for it") from None
    except (ValueError, httpx.InvalidURL):  # their messages may quote the password
        expected = '"http://host:port", "https://host:port" or "socks5://host:port"'
        raise refused(proxy.variable, f"{where} is not a usable proxy: it must be {expected}") from None


def _check(url: str) -> None:
    """Check what httpx would only find when it connects. Raises ValueError."""
    parts = urlsplit(url)
    _ = parts.port  # reading it checks it
    if not parts.hostname or " " in parts.netloc:
        raise ValueError(url)


def _is_this_machine(host: str) -> bool:
    address = _address(host)
    return host in ("", "localhost") if address is None else address.is_loopback


def _is_exempt(host: str, port: int | None, scheme: str, no_proxy: str) -> bool:
    """Whether one of NO_PROXY's entries, separated by commas or spaces, matches the host."""
    address = _address(host)
    return any(_means(entry, host, address, port, scheme) for entry in no_proxy.lower().replace(",", " ").split())


def _means(entry: str, host: str, address: Address | None, port: int | None, scheme: str) -> bool:
    """Whether an entry matches a host, as in curl.

    A name matches itself and its subdomains, with or without a leading dot; an address, or a range such as "10.0.0.0/8",
    matches addresses; "*" matches everything. Beyond curl: brackets around an IPv6 address, a port after the entry, and a
    scheme before it.
    """
    entry_scheme, _, entry = entry.rpartition("://")
    if entry_scheme not in ("", "all", scheme):
        return False
    if entry == "*":
        return True
    before, _, entry_port = entry.rpartition(":")
    if entry_port.isdecimal() and before and (":" not in before or before.endswith("]")):
        if int(entry_port) != port:
            return False
        entry = before
    if address is not None:
        return _is_in(address, entry.replace("[", "").replace("]", ""))
    entry = entry.lstrip("*.").rstrip(".")
    return entry != "" and f".{host}".endswith(f".{entry}")


def _is_in(address: Address, network: str) -> bool:
    try:
        return address in ip_network(network, strict=False)
    except ValueError:
        return False


def _address(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
