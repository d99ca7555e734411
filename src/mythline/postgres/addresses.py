"""Addresses of databases: their hosts, and options that other programs know and asyncpg doesn't."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_plus, urlsplit

from ..errors import InvalidInput
from .failures import misread

_OF_NO_USE: Final = frozenset(
    {
        "client_encoding",  # UTF-8, always
        "fallback_application_name",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "sslcompression",
        "tcp_user_timeout",
    }
)
"""Options that change neither what is connected to nor how safe it is, whatever they say."""
_AS_IT_IS: Final = frozenset(
    {
        ("channel_binding", "disable"),
        ("channel_binding", "prefer"),
        ("gssencmode", "disable"),
        ("gssencmode", "prefer"),
    }
)
"""Options that ask for what is done anyway, or may be left."""
_NOT_KEPT: Final = frozenset(
    {"channel_binding", "gssencmode", "hostaddr", "require_auth", "requirepeer", "sslcertmode"}
)
"""Options that ask for what the driver doesn't do."""


class Address(NamedTuple):
    """Where a database is.

    Attributes:
        hosts: An address for each of its hosts, in their order.
        seconds: That making a connection to one of them may take; `inf` unless told.
        options: The names of the options that each has.
    """

    hosts: list[str]
    seconds: float
    options: frozenset[str]


def read(dsn: str) -> Address:
    """An address, with several hosts perhaps: `postgresql://…@one:5432,two:5432/…`.

    Its options may name them too, as may `PGHOST` of the environment: `…/…?host=one,two&port=5432`.

    Raises:
        InvalidInput: If it can't be read.
    """
    seconds = math.inf
    kept: list[str] = []
    names: set[str] = set()
    asked: dict[str, str] = {}
    try:
        parts = urlsplit(dsn)
        for option in parts.query.split("&") if parts.query else ():
            name, _, value = (unquote_plus(word) for word in option.partition("="))
            if name == "connect_timeout":
                seconds = float(int(value))
            elif name in ("host", "port"):
                asked[name] = value
            elif name not in _OF_NO_USE and (name, value) not in _AS_IT_IS:
                if name in _NOT_KEPT:
                    raise InvalidInput(
                        f"The store's address has the option {name}, which can't be kept here. "
                        "Leave it out."
                    )
                kept.append(option)
                names.add(name)
    except InvalidInput:
        raise
    except ValueError as error:
        raise misread(error) from None
    user, at, hosts = parts.netloc.rpartition("@")
    path = "" if parts.path == "/" else parts.path  # or the driver takes it for a database's name
    found = [
        # By hand: `urlunsplit` leaves out the slashes where nothing follows them.
        f"{parts.scheme}://{user}{at}{host}{path}?{'&'.join([*kept, *options])}".rstrip("?")
        for host, options in _each(hosts, asked, uses_service="service" in names)
    ]
    # As elsewhere: none is for ever.
    return Address(found, seconds if seconds > 0 else math.inf, frozenset(names))


def _each(
    hosts: str, asked: Mapping[str, str], *, uses_service: bool
) -> list[tuple[str, list[str]]]:
    """Each host as it stands before the path of an address, and as options.

    Each is tried for its own share of the time, so the driver gets one by one what it would try
    for all of the time. What names no host is left to it.
    """
    named = asked.get("host") or ("" if uses_service else os.environ.get("PGHOST", ""))
    if not hosts and not named:
        return [("", [f"port={quote(asked['port'])}"] if asked.get("port") else [])]
    each = (hosts or named).split(",")
    lacks = [not hosts or ":" not in host.rpartition("]")[2] for host in each]
    ports = (asked.get("port") or os.environ.get("PGPORT", "")).split(",")
    if len(ports) == 1 or not any(lacks):
        ports = [ports[0]] * len(each)
    if len(ports) != len(each):
        raise misread(ValueError())
    if hosts:
        return [
            (f"{host}:{port}" if lack and port else host, [])
            for host, port, lack in zip(each, ports, lacks, strict=True)
        ]
    return [
        ("", [f"host={quote(host)}", *([f"port={quote(port)}"] if port else [])])
        for host, port in zip(each, ports, strict=True)
    ]
