"""Who may talk to the viewer: links that work once, a cookie, and which Host and Origin headers are right.

A link carries a token that is good for one use.  It is answered with a cookie that scripts cannot read and that other
sites' pages cannot send.  Every request must have the cookie, a Host that is this server's (so that a name that was
re-bound to this machine is refused), and, where it opens a socket, this server's own Origin.

Does NOT open sockets or know viser; plain functions of header values, so that they can be tested as such.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from recon4d.core import InputError

_TOKEN_BYTES = 24
_MOST_TOKENS = 64  # unused links and sessions that are remembered; the oldest are forgotten


class Access:
    """The tokens and cookies of one server.

    Args:
        host: the address that the server is bound to.
        port: its port; may be set later, when the system has chosen it.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._lock = threading.Lock()
        self._tokens: list[str] = []
        self._sessions: list[str] = []

    @property
    def cookie_name(self) -> str:
        """Named after the port: browsers send cookies of one port of a machine to all others."""
        return f"recon4d_{self.port}"

    def link(self) -> str:
        """A new address that opens the viewer in one browser, once."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        with self._lock:
            self._tokens = [*self._tokens, token][-_MOST_TOKENS:]
        return f"http://{self.address}/?token={token}"

    @property
    def address(self) -> str:
        """Host and port as a browser on this machine, or for other bindings on the network, would name them."""
        host = self.host
        if _is_unspecified(host):
            host = "127.0.0.1"
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def redeem(self, target: str) -> str | None:
        """The Set-Cookie value that a request target with a good token earns; None without one.  A token works once."""
        given = parse_qs(urlsplit(target).query).get("token", [""])[0]
        with self._lock:
            known = [token for token in self._tokens if hmac.compare_digest(token.encode(), given.encode())]
            if not known:
                return None
            self._tokens.remove(known[0])
            session = secrets.token_urlsafe(_TOKEN_BYTES)
            self._sessions = [*self._sessions, session][-_MOST_TOKENS:]
        return f"{self.cookie_name}={session}; Path=/; HttpOnly; SameSite=Strict"

    def refusal(self, headers: Mapping[str, str], *, upgrade: bool) -> tuple[HTTPStatus, str] | None:
        """Why a request is refused, apart from its cookie; None where nothing is wrong with it.

        Args:
            headers: of the request.
            upgrade: whether it opens a socket, for which the Origin must be there.
        """
        host = headers.get("Host", "")
        if not self._is_ours(host):
            # A name that was re-bound to this machine looks like a tunnel from another port, so neither is let in.
            told = f"This address is not that of the viewer. A tunnel has port {self.port} at both of its ends."
            return HTTPStatus.MISDIRECTED_REQUEST, told
        origin = headers.get("Origin")
        if (origin is None and upgrade) or (origin is not None and origin != f"http://{host}"):
            return HTTPStatus.FORBIDDEN, "The viewer answers its own page only."
        return None

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Whether a request carries the cookie of a session."""
        try:
            cookie = SimpleCookie(headers.get("Cookie", ""))
        except CookieError:
            return False
        morsel = cookie.get(self.cookie_name)
        given = "" if morsel is None else morsel.value
        with self._lock:
            return any(hmac.compare_digest(known.encode(), given.encode()) for known in self._sessions)

    def _is_ours(self, host: str) -> bool:
        name, _, port = host.rpartition(":")
        if port != str(self.port):
            return False
        name = name.removeprefix("[").removesuffix("]").lower()
        own = {"localhost", "127.0.0.1", "::1"} if is_loopback(self.host) else {self.host.lower()}
        if _is_unspecified(self.host):
            # A literal address cannot be re-bound by anybody's name server.
            own = {"localhost", socket.gethostname().lower()}
            return name in own or _is_address(name)
        return name in own


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(host: str) -> str:
    """An address to bind to.

    Raises:
        InputError: no address or name of this machine.
    """
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise InputError(
            "--host",
            expected="an address of this machine",
            got=repr(host[:80]),
            fix="leave it out, or use 0.0.0.0 for all networks",
        ) from None
    return host


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
