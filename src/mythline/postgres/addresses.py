"""Addresses of databases: their hosts, and options that other programs know and asyncpg doesn't."""

from __future__ import annotations

import math
from typing import Final, NamedTuple
from urllib.parse import unquote_plus, urlsplit, urlunsplit

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

    Raises:
        InvalidInput: If it can't be read.
    """
    seconds = math.inf
    kept: list[str] = []
    names: set[str] = set()
    try:
        parts = urlsplit(dsn)
        for option in parts.query.split("&"):
            name, _, value = (unquote_plus(word) for word in option.partition("="))
            if name == "connect_timeout":
                seconds = float(int(value))
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
    found = [
        urlunsplit(parts._replace(netloc=f"{user}{at}{host}", query="&".join(kept)))
        for host in hosts.split(",")
    ]
    # As elsewhere: none is for ever.
    return Address(found, seconds if seconds > 0 else math.inf, frozenset(names))
