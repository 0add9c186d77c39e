"""Writes one-channel OpenEXR images: 32-bit floats, scan lines, ZIP compression.

After the file layout of the OpenEXR technical introduction.  Does NOT read, and writes no colours.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from recon4d.data.files import write_bytes

_MAGIC, _VERSION = 20000630, 2
_FLOAT, _ZIP, _LINES = 2, 3, 16


def write_exr(
    path: Path, values: Float32[np.ndarray, "h w"], *, channel: str = "Z", notes: Mapping[str, str] | None = None
) -> None:
    """Write one image atomically; the same values give the same bytes.

    Args:
        path: target, ending in .exr.
        values: [H, W] one channel.
        channel: its name; "Z" is depth.
        notes: further attributes of the header, as text.
    """
    height, width = values.shape
    header = _header(width, height, channel, notes or {})
    chunks = [_chunk(first, values[first : first + _LINES]) for first in range(0, height, _LINES)]
    offsets, place = [], len(header) + 8 * len(chunks)
    for chunk in chunks:
        offsets.append(place)
        place += len(chunk)
    write_bytes(path, header + struct.pack(f"<{len(offsets)}Q", *offsets) + b"".join(chunks))


def _header(width: int, height: int, channel: str, notes: Mapping[str, str]) -> bytes:
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    channels = channel.encode() + b"\0" + struct.pack("<iB3xii", _FLOAT, 0, 1, 1) + b"\0"
    attributes = [
        ("channels", "chlist", channels),
        ("compression", "compression", bytes([_ZIP])),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1.0)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0.0, 0.0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1.0)),
        *((name, "string", text.encode()) for name, text in notes.items()),
    ]
    parts = [struct.pack("<ii", _MAGIC, _VERSION)]
    for name, kind, value in attributes:
        parts += [name.encode(), b"\0", kind.encode(), b"\0", struct.pack("<i", len(value)), value]
    return b"".join([*parts, b"\0"])


def _chunk(first: int, lines: Float32[np.ndarray, "h w"]) -> bytes:
    """Up to 16 lines: even bytes before odd ones, differences of neighbours, deflated unless that makes it larger."""
    raw = np.frombuffer(np.ascontiguousarray(lines, "<f4").tobytes(), np.uint8)
    apart = np.concatenate([raw[::2], raw[1::2]]).astype(np.int16)
    steps = np.concatenate([apart[:1], np.diff(apart) + 128]).astype(np.uint8)
    packed = zlib.compress(steps.tobytes(), 6)
    data = packed if len(packed) < len(raw) else raw.tobytes()
    return struct.pack("<ii", first, len(data)) + data
