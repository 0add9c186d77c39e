"""What a browser may send over its socket: sizes, kinds and shapes of messages, checked before viser sees them.

viser trusts its own page.  A hostile client can send anything that looks like a message: this gate lets through the
kinds that the page really sends, bounds uploads to what they declared, and turns everything else into a closed socket.
Does NOT know who may connect (see `access`) or what an uploaded file contains (see `uploads`).
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

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
        "GuiFormDirtyMessage",
        "GuiFormSubmitMessage",
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


class Gate:
    """The check of one connection; keeps what its uploads have declared."""

    def __init__(self) -> None:
        self._declared: dict[str, int] = {}
        self._parts: dict[str, int] = {}

    def check(self, raw: object) -> None:
        """Let a raw message through.

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
        kind = message["type"]
        _check_values(message)
        if kind == "FileTransferStartUpload":
            self._begin(message)
        elif kind == "FileTransferPart":
            self._add(message)
        elif kind == "ViewerCameraMessage":
            _check_camera(message)
        elif kind == "GuiUpdateMessage" and not (
            isinstance(message.get("uuid"), str) and isinstance(message.get("updates"), dict)
        ):
            raise RefusedError("a control without a value")

    def _begin(self, message: dict[str, Any]) -> None:
        transfer, size, parts = message.get("transfer_uuid"), message.get("size_bytes"), message.get("part_count")
        if not (isinstance(transfer, str) and isinstance(size, int) and isinstance(parts, int)):
            raise RefusedError("an upload without a size")
        if not 0 <= size <= MAX_UPLOAD or not 0 <= parts <= MAX_UPLOAD // 1024:
            raise RefusedError("an upload that is too large")
        if transfer in self._declared or len(self._declared) >= MAX_TRANSFERS:
            raise RefusedError("too many uploads at once")
        self._declared[transfer], self._parts[transfer] = size, parts

    def _add(self, message: dict[str, Any]) -> None:
        transfer, content = message.get("transfer_uuid"), message.get("content")
        if not isinstance(transfer, str) or not isinstance(content, bytes) or transfer not in self._declared:
            raise RefusedError("a part of no upload")
        self._declared[transfer] -= len(content)
        self._parts[transfer] -= 1
        if self._declared[transfer] < 0 or self._parts[transfer] < 0:
            raise RefusedError("more of an upload than it declared")
        if self._parts[transfer] == 0:
            del self._declared[transfer], self._parts[transfer]


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
