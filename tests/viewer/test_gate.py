"""Which messages of a browser are let through."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from recon4d.viewer.gate import ALLOWED, MAX_MESSAGE, MAX_TRANSFERS, MAX_UPLOAD, Gate, RefusedError
from tests.viewer.hostile import camera_message


def packed(**message: Any) -> bytes:
    return msgspec.msgpack.encode(message)


def start(transfer: str = "t", size: int = 10, parts: int = 1) -> bytes:
    return packed(
        type="FileTransferStartUpload",
        source_component_uuid="c",
        transfer_uuid=transfer,
        filename="a.glb",
        mime_type="x",
        part_count=parts,
        size_bytes=size,
    )


def part(content: bytes, transfer: str = "t", index: int = 0) -> bytes:
    return packed(
        type="FileTransferPart", source_component_uuid="c", transfer_uuid=transfer, part_index=index, content=content
    )


def test_what_the_page_sends_passes():
    gate = Gate()
    gate.check(camera_message())
    gate.check(packed(type="GuiUpdateMessage", uuid="u", updates={"value": 3}))
    gate.check(packed(type="CommandTriggerMessage", uuid="u"))


def test_all_kinds_are_known_to_viser():
    from viser import _messages

    known = {cls.__name__ for cls in _messages.Message.get_subclasses()}
    assert known >= ALLOWED


@pytest.mark.parametrize(
    "raw",
    [
        "text",
        b"",
        b"\xc1",
        b"\xff" * 100,
        b"\x93\x01\x02\x03",
        packed(kind="GuiUpdateMessage"),
        packed(type="ShareUrlRequest"),
        packed(type="ShareUrlDisconnect"),
        packed(type="BackgroundImageMessage", format="png", rgb_data=b"", depth_data=None),
        packed(type=3),
        packed(type="GuiUpdateMessage", uuid="u" * 30_000, updates={}),
        packed(type="GuiUpdateMessage", uuid="u", updates={"value": list(range(5000))}),
        packed(type="GuiUpdateMessage", uuid="u", updates={"value": math.nan}),
        packed(type="GuiUpdateMessage", uuid="u", updates={"value": [[[[[[[[[[1]]]]]]]]]]}),
        b"\x91" * 5000,
        b"\x00" * (MAX_MESSAGE + 1),
    ],
)
def test_everything_else_is_refused(raw: object):
    with pytest.raises(RefusedError):
        Gate().check(raw)


@pytest.mark.parametrize(
    "changes",
    [
        {"position": [math.inf, 0, 0]},
        {"position": [0, 0]},
        {"position": "abc"},
        {"wxyz": None},
        {"fov": 0.0},
        {"fov": 4.0},
        {"fov": True},
        {"image_width": 1_000_000},
        {"image_height": -1},
        {"look_at": [0, 0, "x"]},
    ],
)
def test_cameras_that_are_none_are_refused(changes: dict[str, Any]):
    with pytest.raises(RefusedError):
        Gate().check(camera_message(**changes))


def test_an_upload_is_held_to_what_it_declared():
    gate = Gate()
    gate.check(start(size=10, parts=2))
    gate.check(part(b"12345"))
    gate.check(part(b"67890", index=1))
    with pytest.raises(RefusedError, match="no upload"):
        gate.check(part(b"more", index=2))


@pytest.mark.parametrize(
    "messages",
    [
        [start(size=MAX_UPLOAD + 1)],
        [start(size=-1)],
        [start(parts=10**9)],
        [start(), start()],
        [start(f"t{i}") for i in range(MAX_TRANSFERS + 1)],
        [part(b"x")],
        [start(size=3), part(b"1234")],
        [start(size=100, parts=1), part(b"1"), part(b"2")],
        [packed(type="FileTransferStartUpload", transfer_uuid="t", size_bytes="10", part_count=1)],
        [start(), packed(type="FileTransferPart", transfer_uuid="t", part_index=0, content="text")],
    ],
)
def test_uploads_beyond_bounds_are_refused(messages: list[bytes]):
    gate = Gate()
    for message in messages[:-1]:
        gate.check(message)
    with pytest.raises(RefusedError):
        gate.check(messages[-1])
