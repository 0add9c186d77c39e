"""What a browser may send over its socket: sizes, kinds and shapes of messages, checked before viser sees them.

viser trusts its own page.  A hostile client can send anything that looks like a message: this gate lets through the
kinds that the page really sends, in the shapes that it sends them in (`wire`), bounds uploads to what they declared,
and turns everything else into a closed socket.
Does NOT know who may connect (see `access`) or what an uploaded file contains (see `uploads`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from recon4d.viewer.transfers import Transfers, deadline
from recon4d.viewer.wire import ShapeError, check_shape, check_value, takes_files

MAX_MESSAGE = 2 * 1024 * 1024  # bytes; an upload comes in parts of half a megabyte
MAX_UPLOAD = 256 * 1024 * 1024
MAX_TRANSFERS = 4  # uploads of one browser at once
MAX_TEXT = 20_000  # characters in one value of a message
MAX_ITEMS = 4096  # in one list of a message

ALLOWED = frozenset(
    {
        "CommandTriggerMessage",
        "FileTransferPart",
        "FileTransferPartAck",
        "FileTransferStartUpload",
        "GetRenderResponseMessage",
        "GuiButtonHoldMessage",
        "GuiUpdateMessage",
        "LocalStorageGetItemResponseMessage",
        "SceneNodeClickMessage",
        "SceneNodeDragMessage",
        "ScenePointerMessage",
        "TransformControlsDragEndMessage",
        "TransformControlsDragStartMessage",
        "TransformControlsUpdateMessage",
        "ViewerCameraMessage",
    }
)


class RefusedError(Exception):
    """A message that no page of ours sends."""


@dataclass
class _Transfer:
    """An upload that is under way: what is still to come, and where it goes."""

    control: str
    left: int
    parts: int
    begun: float
    received: int = 0
    seen: set[int] = field(default_factory=set)


class Gate:
    """The check of one connection; keeps what its uploads have declared.

    Args:
        transfers: the account of all connections.
        control: viser's handle of a control by its id, None where there is none.
    """

    def __init__(self, transfers: Transfers, control: Callable[[str], Any]) -> None:
        self._all, self._control = transfers, control
        self._open: dict[str, _Transfer] = {}
        self._controls: set[str] = set()

    def close(self) -> None:
        """The connection is gone, and what it has sent with it."""
        for control in self._controls:
            self._all.forget(control)

    def patience(self) -> float | None:
        """Seconds until an upload is given up; None where none is under way."""
        ends = [deadline(one.begun, one.received) for one in self._open.values()]
        return max(0.0, min(ends) - self._all.clock()) if ends else None

    def check(self, raw: object) -> bool:
        """Let a raw message through; false where it comes too late to mean anything, and is to be left out.

        Raises:
            RefusedError: it is none of ours.
        """
        if not isinstance(raw, bytes) or len(raw) > MAX_MESSAGE:
            raise RefusedError("not a binary message of a sensible size")
        try:
            message = msgspec.msgpack.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
            raise RefusedError("not a message") from None
        if not isinstance(message, dict) or message.get("type") not in ALLOWED:
            raise RefusedError("a message of a kind that the page does not send")
        _check_values(message)
        if self.patience() == 0.0:
            raise RefusedError("an upload that does not come along")
        try:
            return self._check(message)
        except ShapeError as error:
            raise RefusedError(str(error)) from None

    def _check(self, message: dict[str, Any]) -> bool:
        kind = message["type"]
        if kind == "ViewerCameraMessage":
            _check_camera(message)
        check_shape(message)
        if kind == "FileTransferStartUpload":
            self._begin(message)
        elif kind == "FileTransferPart":
            self._add(message)
        elif kind == "GuiUpdateMessage":
            if message["updates"].keys() != {"value"}:
                raise RefusedError("a control with more than a value")
            control = self._control(message["uuid"])
            return control is not None and check_value(control, message["updates"])
        return True

    def _begin(self, message: dict[str, Any]) -> None:
        transfer, control = message["transfer_uuid"], message["source_component_uuid"]
        size, parts = message["size_bytes"], message["part_count"]
        if not takes_files(self._control(control)):
            raise RefusedError("an upload to nowhere")
        if not 0 <= size <= MAX_UPLOAD or not 0 <= parts <= MAX_UPLOAD // 1024 or (parts == 0) != (size == 0):
            raise RefusedError("an upload that is too large")
        if transfer in self._open or len(self._open) >= MAX_TRANSFERS:
            raise RefusedError("too many uploads at once")
        if not self._all.take(control, size):
            raise RefusedError("an upload while too much is under way")
        self._controls.add(control)
        if parts:
            self._open[transfer] = _Transfer(control, size, parts, self._all.clock())

    def _add(self, message: dict[str, Any]) -> None:
        content, index = message["content"], message["part_index"]
        known = self._open.get(message["transfer_uuid"])
        if known is None or message["source_component_uuid"] != known.control:
            raise RefusedError("a part of no upload")
        if index in known.seen or not 0 <= index < known.parts:
            raise RefusedError("a part that was there")
        known.seen.add(index)
        known.left -= len(content)
        known.received += len(content)
        last = len(known.seen) == known.parts
        if known.left < 0 or (last and known.left > 0):
            raise RefusedError("more or less of an upload than it declared")
        if last:
            del self._open[message["transfer_uuid"]]


def _check_values(value: object, depth: int = 0) -> None:
    """Texts, numbers and lists of bounded size, in bounded depth; bytes are bounded by the message."""
    if depth > 8:
        raise RefusedError("a message that is too deep")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise RefusedError("a text that is too long")
    if isinstance(value, dict | list):
        if len(value) > MAX_ITEMS:
            raise RefusedError("a list that is too long")
        for item in value.values() if isinstance(value, dict) else value:
            _check_values(item, depth + 1)
    if isinstance(value, float) and not math.isfinite(value):
        raise RefusedError("a number that is not finite")


def _check_camera(message: dict[str, Any]) -> None:
    """A camera that pictures can be drawn for."""
    lengths = {"wxyz": 4, "position": 3, "look_at": 3, "up_direction": 3}
    for name, length in lengths.items():
        vector = message.get(name)
        if not isinstance(vector, list) or len(vector) != length or not all(_is_number(x) for x in vector):
            raise RefusedError("a camera that is none")
    sides: list[Any] = [message.get("image_height"), message.get("image_width")]
    if not all(_is_number(side) and 0 <= side <= 16_384 for side in sides):
        raise RefusedError("a window of an impossible size")
    fov: Any = message.get("fov")
    if not _is_number(fov) or not 0 < fov < math.pi:
        raise RefusedError("an impossible field of view")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
