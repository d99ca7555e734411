"""What keeps the server closed to web pages, while it is open to programs on the machine.

A page that someone looks at can send requests to a server on loopback. Two things tell those:
a name that the page's owner lets point to loopback (DNS rebinding) is in `Host`; and a browser
says where a request comes from in `Sec-Fetch-Site` and `Origin`.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import problem

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Guard:
    """ASGI middleware: refuses what other web pages send, and sets the security headers.

    `localhost` and IP addresses are answered to, as no one can let those point elsewhere; other
    names must be allowed. Requests without the headers of a browser, as programs send them, pass.

    Args:
        app: The application.
        allowed_hosts: More names to answer to, without a port; `*` for any.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str] = ()) -> None:
        self.app = app
        self._hosts = {"localhost", *(host.lower() for host in allowed_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or hand it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self.app)(scope, receive, sent)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = _split(hosts[0]) if len(hosts) == 1 else None
        if host is None or not self._is_allowed(host.hostname or "", scope):
            return problem(
                421,
                "This server doesn't answer to that host name. Use localhost, or allow the name "
                "(`allowed_hosts`).",
            )
        if scope["method"] not in SAFE_METHODS and _is_cross_site(headers, host):
            return problem(
                403, "This request comes from another web site. Send it from this server's pages."
            )
        return None

    def _is_allowed(self, name: str, scope: Scope) -> bool:
        return bool(
            "*" in self._hosts
            or name in self._hosts
            or _is_address(name)
            or _is_in_process(name, scope)
        )


def _split(netloc: str) -> SplitResult | None:
    """The parts of `host:port`, or `None` if it isn't one."""
    try:
        parts = urlsplit(f"//{netloc}")
        _ = parts.port  # raises if it is no number
    except ValueError:
        return None
    is_plain = parts.netloc == netloc and "@" not in netloc and parts.hostname
    return parts if is_plain else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_in_process(name: str, scope: Scope) -> bool:
    """Whether a client called the application itself, with no network between.

    Then its server is what the client calls it. A real one's is the address of a socket.
    """
    server = scope.get("server")
    return bool(server and server[0] == name)


def _is_cross_site(headers: Headers, host: SplitResult) -> bool:
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return True
    return any(not _is_same(origin, host) for origin in headers.getlist("origin"))


def _is_same(origin: str, host: SplitResult) -> bool:
    scheme, mark, netloc = origin.partition("://")
    parts = _split(netloc) if mark else None
    if parts is None:  # "null", say
        return False
    default = _DEFAULT_PORTS.get(scheme)
    return (parts.hostname, parts.port or default) == (host.hostname, host.port or default)
