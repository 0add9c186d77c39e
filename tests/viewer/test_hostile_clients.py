"""A running viewer against clients that mean harm: refused or served, never down, and nothing written outside."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trimesh
import websockets

from recon4d.viewer import Viewer
from recon4d.viewer.gate import MAX_MESSAGE
from recon4d.viewer.server import MAX_CLIENTS
from recon4d.viewer.uploads import Uploads
from tests.viewer.browser import until
from tests.viewer.hostile import camera_message, closing_code, get, invited, said, socket


def still_serves(viewer: Viewer) -> bool:
    """Whether a browser that comes now gets the page and a socket."""

    async def messages() -> bool:
        async with socket(viewer.server, cookie=invited(viewer.server)) as connection:
            await connection.send(camera_message())
            return isinstance(await asyncio.wait_for(connection.recv(), 60), bytes)

    return asyncio.run(messages())


def test_without_a_token_there_is_no_page(viewer: Viewer):
    answer = get(viewer.server, "/")
    assert answer.status == 403
    assert b"not invited" in answer.body
    assert b"viser" not in answer.body.lower()


def test_a_link_lets_one_browser_in(viewer: Viewer):
    target = viewer.link.partition(str(viewer.server.access.port))[2]
    welcome = get(viewer.server, target)
    assert welcome.status == 200
    cookie = welcome.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert get(viewer.server, target).status == 403
    page = get(viewer.server, "/", Cookie=cookie.partition(";")[0])
    assert page.status == 200
    assert b"<title>recon4d</title>" in page.body
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", ""])
def test_other_hosts_get_nothing(viewer: Viewer, host: str):
    cookie = invited(viewer.server)
    host = host.format(port=viewer.server.access.port)
    assert get(viewer.server, "/", host=host, Cookie=cookie).status == 421


def test_other_origins_get_nothing(viewer: Viewer):
    assert get(viewer.server, "/", Cookie=invited(viewer.server), Origin="http://evil.example").status == 403


@pytest.mark.parametrize(
    "target",
    [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..\\..\\etc\\passwd",
        "//etc/passwd",
        "/scene.json",
        "/clip.r4d/scene.json",
        "/index.html/../../x",
        "/%00",
        "/favicon.ico",
    ],
)
def test_there_is_no_page_but_one(viewer: Viewer, target: str):
    assert get(viewer.server, target, Cookie=invited(viewer.server)).status == 404


@pytest.mark.parametrize(
    ("cookie", "origin"), [(False, "own"), (True, None), (True, "http://evil.example"), (True, "null")]
)
def test_sockets_need_cookie_and_origin(viewer: Viewer, cookie: bool, origin: str | None):
    async def attempt() -> None:
        async with socket(viewer.server, cookie=invited(viewer.server) if cookie else None, origin=origin):
            pass

    with pytest.raises(websockets.InvalidStatus) as refused:
        asyncio.run(attempt())
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "raw",
    [
        "text instead of bytes",
        b"\xc1 not msgpack",
        msgspec.msgpack.encode({"type": "ShareUrlRequest"}),
        msgspec.msgpack.encode({"type": "GuiUpdateMessage"}),
        msgspec.msgpack.encode({"type": "GuiUpdateMessage", "uuid": 3, "updates": None}),
        msgspec.msgpack.encode({"type": "TransformControlsUpdateMessage", "name": "x"}),
        camera_message(position=[float("nan"), 0.0, 0.0]),
        b"\x00" * (MAX_MESSAGE + 1),
    ],
)
def test_malformed_messages_close_their_own_socket_only(viewer: Viewer, raw: str | bytes):
    async def attempt() -> int | None:
        async with socket(viewer.server, cookie=invited(viewer.server)) as connection:
            await connection.send(raw)
            return await closing_code(connection)

    assert asyncio.run(attempt()) in (1008, 1009)
    assert still_serves(viewer)


@pytest.mark.parametrize(
    ("kind", "updates"),
    [
        ("GuiSliderMessage", {"update_cb": 3, "removed": True}),
        ("GuiSliderMessage", {"value": 0.5, "sync_cb": "x"}),
        ("GuiSliderMessage", {"value": "x"}),
        ("GuiSliderMessage", {"value": [1, 2]}),
        ("GuiRgbMessage", {"value": [1, 2]}),
        ("GuiRgbMessage", {"value": 3}),
        ("GuiUploadButtonMessage", {"value": "x"}),
        ("GuiCheckboxMessage", {"value": None}),
        ("GuiDropdownMessage", {"value": "a tool that is none"}),
        ("GuiButtonGroupMessage", {"value": "Explode"}),
        ("GuiNumberMessage", {"value": -1e300}),
    ],
)
def test_controls_take_what_the_page_gives_them_and_nothing_else(
    viewer: Viewer, kind: str, updates: dict[str, Any], capfd: Any, caplog: Any
):
    """Neither viser's own attributes nor values of other types; and whoever tries writes one line of the log."""

    async def attempt() -> tuple[str, int | None]:
        async with socket(viewer.server, cookie=invited(viewer.server)) as connection:
            await connection.send(camera_message())
            uuid = control_of(await said(connection, kind.encode()), kind)
            for _ in range(5):
                await connection.send(
                    msgspec.msgpack.encode({"type": "GuiUpdateMessage", "uuid": uuid, "updates": updates})
                )
            return uuid, await closing_code(connection, seconds=1.5)

    uuid, code = asyncio.run(attempt())
    assert code in (1008, None)
    assert code == 1008 or updates.keys() == {"value"}
    assert still_serves(viewer)
    assert uuid
    assert "Traceback" not in capfd.readouterr().err
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len([record for record in caplog.records if record.name.startswith("recon4d.viewer")]) <= 1


def control_of(messages: bytes, kind: str, label: str = "") -> str:
    """The id of the first control of a kind, or of that with a label."""
    for message in msgspec.msgpack.decode(messages)["messages"]:
        if message["type"] == kind and label in ("", message["props"]["label"]):
            return str(message["uuid"])
    raise AssertionError(f"there is no {kind}")


def test_nobody_can_open_a_tunnel(viewer: Viewer):
    from viser import _messages

    handlers = viewer.server.viser._websock_server._incoming_handlers
    assert _messages.ShareUrlRequest not in handlers
    assert _messages.ShareUrlDisconnect not in handlers


def test_fifty_at_once(viewer: Viewer):
    cookie = invited(viewer.server)

    async def one(leave: asyncio.Event) -> str:
        try:
            async with socket(viewer.server, cookie=cookie) as connection:
                await connection.send(camera_message())
                await asyncio.wait_for(connection.recv(), 120)
                await leave.wait()
                return "served"
        except websockets.InvalidStatus as refused:
            return str(refused.response.status_code)
        except websockets.ConnectionClosed as closed:
            return str(closed.rcvd.code if closed.rcvd else 1006)

    async def all_of_them() -> list[str]:
        leave = asyncio.Event()
        tasks = [asyncio.create_task(one(leave)) for _ in range(50)]
        while sum(task.done() for task in tasks) < 50 - MAX_CLIENTS:
            await asyncio.sleep(0.05)
        leave.set()
        return await asyncio.gather(*tasks)

    answers = asyncio.run(asyncio.wait_for(all_of_them(), 240))
    assert answers.count("served") == MAX_CLIENTS
    assert set(answers) <= {"served", "503", "1013"}
    assert still_serves(viewer)


def test_broken_requests_do_no_harm(viewer: Viewer):
    for raw in (b"", b"\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"GET " + b"a" * 100_000):
        connection = http.client.HTTPConnection("127.0.0.1", viewer.server.access.port, timeout=10)
        connection.connect()
        with contextlib.suppress(OSError):  # the server may hang up in the middle
            connection.sock.sendall(raw)
        connection.close()
    assert still_serves(viewer)


def glb(document: dict[str, object], binary: bytes = b"") -> bytes:
    """A binary glTF file of any content."""
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    if binary:
        chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


BOMB = {
    "asset": {"version": "2.0"},
    "scene": 0,
    "scenes": [{"nodes": [0]}],
    "nodes": [{"mesh": 0}],
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
    "buffers": [{"byteLength": 12}],
    "bufferViews": [{"buffer": 0, "byteLength": 12}],
    "accessors": [
        {"bufferView": 0, "componentType": 5126, "count": 2_000_000_000, "type": "VEC3"},
        {"bufferView": 0, "componentType": 5125, "count": 2_000_000_000, "type": "SCALAR"},
    ],
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bomb.glb", glb(BOMB, b"\0" * 12)),
        (
            "bomb.ply",
            b"ply\nformat binary_little_endian 1.0\nelement vertex 2000000000\nproperty float x\nend_header\n",
        ),
        ("empty.glb", b""),
        ("short.glb", b"glTF"),
        ("short.splat", b"\0" * 40),
        ("nan.splat", b"\xff" * 64),
        ("page.html", b"<script>alert(1)</script>"),
        ("../../../escape.glb", glb(BOMB)),
        ("/etc/cron.d/x.glb", b"x"),
        ("..\\..\\x.obj", b"v 1\n"),
        ("\u202ename.glb", b"x"),
    ],
)
def test_bad_uploads_are_refused_and_leave_nothing(viewer: Viewer, name: str, content: bytes):
    from recon4d.core import InputError

    folder = viewer.project.folder
    assert folder is not None
    around = sorted(path for path in folder.parent.rglob("*") if "assets" not in path.parts)
    with pytest.raises(InputError):
        viewer.shared.uploads.take(name, content)
    assert viewer.shared.uploads.names() == ()
    assert sorted(path for path in folder.parent.rglob("*") if "assets" not in path.parts) == around
    assets = folder / "assets"
    assert not assets.exists() or not list(assets.iterdir())


def test_an_upload_through_the_page_is_checked(viewer: Viewer):
    """A whole upload over the socket: refused as a file, and the page is told."""

    async def attempt() -> bytes:
        async with socket(viewer.server, cookie=invited(viewer.server)) as connection:
            await connection.send(camera_message())
            # The upload button's id is in the messages that build the page.
            uuid = control_of(await said(connection, b"GuiUploadButtonMessage"), "GuiUploadButtonMessage", "Upload")
            content = glb(BOMB, b"\0" * 12)
            start = {
                "type": "FileTransferStartUpload",
                "source_component_uuid": uuid,
                "transfer_uuid": "t1",
                "filename": "../bomb.glb",
                "mime_type": "model/gltf-binary",
                "part_count": 1,
                "size_bytes": len(content),
            }
            part = {
                "type": "FileTransferPart",
                "source_component_uuid": uuid,
                "transfer_uuid": "t1",
                "part_index": 0,
                "content": content,
            }
            await connection.send(msgspec.msgpack.encode(start))
            await connection.send(msgspec.msgpack.encode(part))
            return await said(connection, b"did not work")

    told = asyncio.run(attempt())
    assert b"bomb.glb" in told
    assert not list(Path("/").glob("bomb.glb"))
    assert still_serves(viewer)


def test_a_browser_that_stops_in_the_middle_of_a_file_is_let_go(viewer: Viewer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("recon4d.viewer.transfers.PATIENCE", 1.0)
    transfers = viewer.shared.transfers

    async def attempt() -> int | None:
        async with socket(viewer.server, cookie=invited(viewer.server)) as connection:
            await connection.send(camera_message())
            uuid = control_of(await said(connection, b"GuiUploadButtonMessage"), "GuiUploadButtonMessage")
            start = {"type": "FileTransferStartUpload", "source_component_uuid": uuid, "transfer_uuid": "t1"}
            start |= {"filename": "a.glb", "mime_type": "", "part_count": 2, "size_bytes": 2**20}
            await connection.send(msgspec.msgpack.encode(start))
            return await closing_code(connection)

    assert asyncio.run(attempt()) == 1008
    until(lambda: transfers.held == 0, "the account to be cleared", 10)
    assert still_serves(viewer)


def test_assets_have_a_quota(tmp_path: Path):
    from recon4d.core import InputError

    uploads, content = Uploads(tmp_path, quota=1500), trimesh.creation.box().export(file_type="glb")
    assert 600 < len(content) < 1400
    assert uploads.take("box.glb", content) == "box.glb"
    with pytest.raises(InputError, match="together"):
        uploads.take("more.glb", content)
    assert uploads.names() == ("box.glb",)
    (tmp_path / "assets" / "box.glb").unlink()
    uploads.take("more.glb", content)
