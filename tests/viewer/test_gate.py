"""Which messages of a browser are let through."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from viser import UploadedFile

from recon4d.viewer.gate import ALLOWED, MAX_MESSAGE, MAX_TRANSFERS, MAX_UPLOAD, Gate, RefusedError
from recon4d.viewer.transfers import PATIENCE, SLOWEST, Transfers
from tests.viewer.hostile import camera_message


def packed(**message: Any) -> bytes:
    return msgspec.msgpack.encode(message)


def start(transfer: str = "t", size: int = 10, parts: int = 1, control: str = "file") -> bytes:
    return packed(
        type="FileTransferStartUpload",
        source_component_uuid=control,
        transfer_uuid=transfer,
        filename="a.glb",
        mime_type="x",
        part_count=parts,
        size_bytes=size,
    )


def part(content: bytes, transfer: str = "t", index: int = 0) -> bytes:
    return packed(
        type="FileTransferPart", source_component_uuid="file", transfer_uuid=transfer, part_index=index, content=content
    )


CONTROLS = {
    "button": SimpleNamespace(value=False),
    "colour": SimpleNamespace(value=(1, 2, 3)),
    "file": SimpleNamespace(value=UploadedFile("", b"")),
    "number": SimpleNamespace(value=1.0, min=0.0, max=None),
    "text": SimpleNamespace(value=""),
    "tools": SimpleNamespace(value="Look", options=("Look", "Click")),
    "u": SimpleNamespace(value=3, min=None, max=None),
}


def new_gate(transfers: Transfers | None = None) -> Gate:
    """The gate of a page with one control of each kind."""
    return Gate(Transfers() if transfers is None else transfers, CONTROLS.get)


def update(uuid: str, value: Any, **more: Any) -> bytes:
    return packed(type="GuiUpdateMessage", uuid=uuid, updates={"value": value} | more)


def test_what_the_page_sends_passes():
    gate = new_gate()
    assert gate.check(camera_message())
    assert gate.check(packed(type="CommandTriggerMessage", uuid="u"))
    drag = {"start_position": [0, 0, 0.5], "start_screen_pos": [0, 0.5], "end_position": [0, 0, 1]}
    drag |= {"end_screen_pos": [1.2, -0.1], "button": "left", "modifier": None, "instance_index": None}
    assert gate.check(packed(type="SceneNodeDragMessage", phase="start", name="/tools/ball", owner="client", **drag))
    click = {"ray_origin": [0, 0, 0], "ray_direction": [0, 0, 1], "screen_pos": [[0.5, 0.5]], "modifier": "shift"}
    assert gate.check(packed(type="ScenePointerMessage", event_type="click", **click))


@pytest.mark.parametrize(
    ("uuid", "value"),
    [
        ("button", True), ("colour", [4, 5, 6]), ("number", 0), ("number", 2.5), ("text", "left ear"),
        ("tools", "Click"), ("u", 7.5),
    ],
)  # fmt: skip
def test_values_of_controls_pass(uuid: str, value: Any):
    assert new_gate().check(update(uuid, value))


@pytest.mark.parametrize(
    ("uuid", "value"), [("tools", "Explode"), ("number", -1), ("gone", 3), ("gone", "text")]
)  # fmt: skip
def test_values_that_no_control_offers_any_more_are_left_out(uuid: str, value: Any):
    assert not new_gate().check(update(uuid, value))


@pytest.mark.parametrize(
    "raw",
    [
        packed(type="GuiUpdateMessage", uuid="u", updates={"update_cb": 3, "removed": True}),
        packed(type="GuiUpdateMessage", uuid="gone", updates={"update_cb": 3}),
        packed(type="GuiUpdateMessage", uuid="u", updates={}),
        update("u", 3, removed=True),
        update("u", True),
        update("u", "3"),
        update("u", None),
        update("text", 3),
        update("text", ["a"]),
        update("tools", 3),
        update("button", 1),
        update("colour", [1, 2]),
        update("colour", [1, 2, "3"]),
        update("colour", 3),
        update("file", b"content"),
        packed(type="GuiUpdateMessage", uuid="u", updates={"value": 3}, excluded_self_client=1),
        packed(type="TransformControlsUpdateMessage", name="x", wxyz=[1, 0, 0, 0], position=[0, 0]),
        packed(type="TransformControlsUpdateMessage", name="x", wxyz=[1, 0, 0, 0], position=[0, 0, 0], owner=3),
        packed(type="ScenePointerMessage", event_type="click", ray_origin=None, ray_direction=None,
               screen_pos=[[0.5, 0.5]], modifier=None),
        packed(type="ScenePointerMessage", event_type="rect-select", ray_origin=None, ray_direction=None,
               screen_pos=[[0.5, 0.5]], modifier=None),
        packed(type="ScenePointerMessage", event_type="click", ray_origin=[0, 0, 0], ray_direction=[0, 0, 1],
               screen_pos=[[1e30, 0.5]], modifier=None),
    ],
)  # fmt: skip
def test_what_would_change_more_than_a_value_is_refused(raw: bytes):
    with pytest.raises(RefusedError):
        new_gate().check(raw)


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
        new_gate().check(raw)


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
        new_gate().check(camera_message(**changes))


def test_an_upload_is_held_to_what_it_declared():
    gate = new_gate()
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
        [start(size=100, parts=2), part(b"1"), part(b"2")],
        [start(size=100, parts=1), part(b"1")],
        [start(size=2, parts=3), part(b"1", index=3)],
        [start(size=10, parts=0)],
        [start(control="text")],
        [start(control="gone")],
        [packed(type="FileTransferStartUpload", transfer_uuid="t", size_bytes="10", part_count=1)],
        [start(), packed(type="FileTransferPart", transfer_uuid="t", part_index=0, content="text")],
    ],
)
def test_uploads_beyond_bounds_are_refused(messages: list[bytes]):
    gate = new_gate()
    for message in messages[:-1]:
        gate.check(message)
    with pytest.raises(RefusedError):
        gate.check(messages[-1])


def test_all_browsers_together_declare_so_much():
    transfers = Transfers(limit=100)
    one, other = new_gate(transfers), new_gate(transfers)
    one.check(start(size=60, parts=2))
    with pytest.raises(RefusedError, match="too much is under way"):
        other.check(start(size=50))
    one.check(part(b"x" * 30))
    one.check(part(b"x" * 30, index=1))
    with pytest.raises(RefusedError, match="too much"):  # it is here, but nobody has read it yet
        other.check(start(size=50))
    transfers.give("file", 60)
    other.check(start(size=50))
    assert transfers.held == 50
    other.close()
    assert transfers.held == 0


def test_an_upload_that_does_not_come_along_is_given_up():
    now = [0.0]
    gate = new_gate(Transfers(clock=lambda: now[0]))
    assert gate.patience() is None
    gate.check(start(size=4 * SLOWEST, parts=4))
    assert gate.patience() == PATIENCE
    now[0] = PATIENCE - 1
    gate.check(part(b"x" * SLOWEST))  # buys another second
    assert gate.patience() == 2
    now[0] = PATIENCE + 2
    assert gate.patience() == 0
    with pytest.raises(RefusedError, match="come along"):
        gate.check(camera_message())


def test_an_upload_that_is_complete_is_not_waited_for():
    gate = new_gate()
    gate.check(start(size=2))
    gate.check(part(b"12"))
    assert gate.patience() is None
