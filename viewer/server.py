"""A viser server that only invited browsers on this machine can talk to.

viser binds to all networks, answers any Origin and Host, has no password, and lets any client open a public tunnel.
Here it is built with its socket server wrapped: every request passes `access`, every message passes `gate`, the page is
the only thing that is served, and what would share the scene with the world is taken out.

Does NOT know scenes: `app` fills the page.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import viser
import websockets.asyncio.server
import websockets.exceptions
from viser import _messages
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from recon4d.core import InputError
from recon4d.viewer.access import Access
from recon4d.viewer.gate import MAX_MESSAGE, Gate, RefusedError
from recon4d.viewer.transfers import Transfers

MAX_CLIENTS = 16
_BUILDING = threading.Lock()  # while the socket server of websockets is replaced by ours
_log = logging.getLogger(__name__)
# Scanners and closed tabs are no news; what is refused for a reason is told by `_log`.
_quiet = logging.getLogger(f"{__name__}.sockets")
_quiet.setLevel(logging.CRITICAL)

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob: data:; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# A page that goes on by itself: a redirect would keep the foreign site that a link was clicked on as its initiator,
# and the browser would then hold the cookie back.
_WELCOME = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/"><title>recon4d</title>'
_REFUSED = """<!doctype html><meta charset="utf-8"><title>recon4d</title>
<body style="font:16px/1.5 system-ui;max-width:36em;margin:4em auto">
<h1>This browser is not invited</h1>
<p>Links to the viewer work once. Ask for a new one: press Enter in the terminal that runs <code>recon4d view</code>,
or use <b>Invite another browser</b> in a browser that is already connected.</p>"""


class Server:
    """A hardened viser server.

    Args:
        host: address to bind to.
        port: port, or the next free one; 0 lets the system choose.
        label: shown at the top of the page.
        transfers: the account of what browsers send.
        page: makes the page that invited browsers get; called in a thread of its own.

    Attributes:
        viser: the server itself.
        access: makes links.
    """

    def __init__(self, host: str, port: int, label: str, transfers: Transfers, page: Callable[[], bytes]) -> None:
        # A browser may leave at any moment: that a message no longer reaches it is no news.
        warnings.filterwarnings("ignore", message="Queued a .* on a closed connection", category=UserWarning)
        self.access = Access(host, port)
        self._transfers, self._page = transfers, page
        self._connected = 0
        with _BUILDING, _wrapped(self._serve), contextlib.redirect_stdout(io.StringIO()):
            self.viser = viser.ViserServer(host=host, port=port, label=label, verbose=False)
        self.access.port = self.viser.get_port()
        internal = self.viser._websock_server
        for message in (_messages.ShareUrlRequest, _messages.ShareUrlDisconnect):
            internal.unregister_handler(message)

    def stop(self) -> None:
        """Close all connections and end."""
        with contextlib.redirect_stdout(io.StringIO()):
            self.viser.stop()

    @contextlib.asynccontextmanager
    async def _serve(self, handler: Any, host: str, port: int, **options: Any) -> Any:
        """In place of `websockets.asyncio.server.serve`: the same server behind our checks."""
        options |= {"max_size": MAX_MESSAGE, "process_request": self._answer, "max_queue": 8, "open_timeout": 10}
        options["logger"] = _quiet
        async with _serve_of_websockets(self._guarded(handler), host, port, **options) as server:
            bound = server.server.sockets
            self.access.port = bound[0].getsockname()[1]
            yield server

    async def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to a request for a page; None lets a socket be opened."""
        upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
        refusal = self.access.refusal(request.headers, upgrade=upgrade)
        if refusal is not None:
            return _response(refusal[0], refusal[1], "text/plain; charset=utf-8")
        if not upgrade and (cookie := self.access.redeem(request.path)) is not None:
            return _response(HTTPStatus.OK, _WELCOME, "text/html; charset=utf-8", {"Set-Cookie": cookie})
        if not self.access.knows(request.headers):
            return _response(HTTPStatus.FORBIDDEN, _REFUSED, "text/html; charset=utf-8")
        if upgrade:
            if self._connected >= MAX_CLIENTS:
                return _response(
                    HTTPStatus.SERVICE_UNAVAILABLE, "Too many browsers are connected.", "text/plain; charset=utf-8"
                )
            return None
        if urlsplit(request.path).path not in ("/", "/index.html"):
            return _response(HTTPStatus.NOT_FOUND, "There is no such page.", "text/plain; charset=utf-8")
        return _response(HTTPStatus.OK, await asyncio.to_thread(self._page), "text/html; charset=utf-8")

    def _guarded(self, handler: Callable[[ServerConnection], Any]) -> Callable[[ServerConnection], Any]:
        """A handler of sockets whose messages pass the gate, and which a bad client cannot end with an error."""

        async def guarded(connection: ServerConnection) -> None:
            if self._connected >= MAX_CLIENTS:  # several may have been let in while none was counted yet
                await connection.close(1013, "too many browsers")
                return
            self._connected += 1
            gate = Gate(self._transfers, self._control)
            connection.recv = _checked(connection, gate)  # type: ignore[method-assign]
            try:
                await handler(connection)
            except websockets.exceptions.ConnectionClosed:
                pass
            except asyncio.CancelledError:
                raise
            except Exception as error:
                _log.warning("closed a connection whose message could not be handled: %s", type(error).__name__)
                await connection.close(1008, "refused")
            finally:
                gate.close()
                self._connected -= 1

        return guarded

    def _control(self, uuid: str) -> Any:
        """A control of any browser by its id, None where there is none (any more)."""
        for client in self.viser.get_clients().values():
            if (found := client.gui._gui_input_handle_from_uuid.get(uuid)) is not None:
                return found
        return None


def _checked(connection: ServerConnection, gate: Gate) -> Callable[..., Any]:
    """In place of a connection's `recv`: the next message that the gate lets through."""
    receive = connection.recv

    async def checked(*args: Any, **kwargs: Any) -> Any:
        while True:
            try:
                async with asyncio.timeout(gate.patience()):
                    raw = await receive(*args, **kwargs)
                if gate.check(raw):
                    return raw
            except (RefusedError, TimeoutError) as refused:
                _log.warning("closed a connection that sent %s", str(refused) or "an upload that does not come along")
                await connection.close(1008, "refused")
                # Not one message more, though others may have come before the connection was closed.
                raise connection.protocol.close_exc from None

    return checked


_serve_of_websockets = websockets.asyncio.server.serve


@contextlib.contextmanager
def _wrapped(serve: Callable[..., Any]) -> Iterator[None]:
    websockets.asyncio.server.serve = serve  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        websockets.asyncio.server.serve = _serve_of_websockets  # type: ignore[misc]


def _response(status: HTTPStatus, body: str | bytes, kind: str, more: dict[str, str] | None = None) -> Response:
    content = body.encode() if isinstance(body, str) else body
    headers = Headers({**_HEADERS, "Content-Type": kind, "Content-Length": str(len(content)), **(more or {})})
    headers["Connection"] = "close"
    return Response(status.value, status.phrase, headers, content)


def check_port(port: int) -> int:
    """A port to bind to.

    Raises:
        InputError: out of range.
    """
    if not 0 <= port <= 65_535:
        raise InputError("--port", expected="0 to 65535", got=str(port), fix="leave it out: 8080 is the usual one")
    return port
