"""A client that is not the page: raw requests and sockets, as an attacker would make them."""

from __future__ import annotations

import asyncio
import http.client
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import msgspec
import viser
import websockets
from websockets.asyncio.client import ClientConnection, connect

from recon4d.viewer.server import Server


@dataclass(frozen=True)
class Answer:
    """An answer to a request for a page."""

    status: int
    headers: dict[str, str]
    body: bytes


def get(server: Server, target: str, *, host: str | None = None, **headers: str) -> Answer:
    """A GET with any target and headers; `Origin_` and the like are written without the line below."""
    port = server.access.port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", f"127.0.0.1:{port}" if host is None else host)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = Answer(answer.status, dict(answer.getheaders()), answer.read())
    connection.close()
    return found


def invited(server: Server) -> str:
    """The Cookie header of a browser that has used a link."""
    target = server.access.link().partition(str(server.access.port))[2]
    return get(server, target).headers["Set-Cookie"].partition(";")[0]


def socket(
    server: Server, *, cookie: str | None = None, origin: str | None = "own", **options: Any
) -> AbstractAsyncContextManager[ClientConnection]:
    """A socket as the page would open it, or not quite."""
    address = f"127.0.0.1:{server.access.port}"
    headers = {} if cookie is None else {"Cookie": cookie}
    return connect(
        f"ws://{address}",
        additional_headers=headers,
        origin=f"http://{address}" if origin == "own" else origin,  # type: ignore[arg-type]
        subprotocols=[websockets.Subprotocol(f"viser-v{viser.__version__}")],
        compression=None,
        max_size=None,
        open_timeout=60,
        **options,
    )


def camera_message(**changes: Any) -> bytes:
    """The message by which a page says where its camera is; the server counts it as connected from then on."""
    message = {
        "type": "ViewerCameraMessage",
        "wxyz": [1.0, 0.0, 0.0, 0.0],
        "position": [0.0, 0.0, -3.0],
        "fov": 0.8,
        "near": 0.01,
        "far": 1000.0,
        "image_height": 120,
        "image_width": 160,
        "look_at": [0.0, 0.0, 0.0],
        "up_direction": [0.0, -1.0, 0.0],
    }
    return msgspec.msgpack.encode(message | changes)


async def said(connection: ClientConnection, word: bytes, seconds: float = 120) -> bytes:
    """The next messages of the server in which a word is."""
    async with asyncio.timeout(seconds):
        while word not in (messages := unpacked(await connection.recv())):
            pass
    return messages


def unpacked(raw: str | bytes) -> bytes:
    """The messages of a frame of viser's, before its binary buffers."""
    import zstandard

    assert isinstance(raw, bytes)
    size = int.from_bytes(raw[8:16], "little")
    return zstandard.ZstdDecompressor().decompress(raw[16 : 16 + size])


async def closing_code(connection: ClientConnection, seconds: float = 30) -> int | None:
    """The code that a connection is closed with; None where it stays open."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                await connection.recv()
    except websockets.ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else 1006
    except TimeoutError:
        return None
