"""Arrays in safetensors files: writing them the same way every time, reading them without trust.

Our own reader and writer of the format (https://github.com/huggingface/safetensors) instead of the library's, because
the header is checked against the file before anything is allocated, the file that was checked is the file that is
mapped, and equal arrays give equal bytes, so that files can be named by their hash.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from recon4d.scene.document import Node, parse

TYPES = {"F64": torch.float64, "I64": torch.int64, "F32": torch.float32}
NAMES = {dtype: name for name, dtype in TYPES.items()}

MAX_HEADER_BYTES = 2**20
MAX_DIMENSIONS = 8
# Larger sizes, empty arrays with huge other axes among them, would overflow strides.
MAX_ARRAY_BYTES = 2**56
MAX_FILE_BYTES = 2**48


@dataclass(frozen=True)
class Blob:
    """The bytes of a safetensors file to be, as pieces that share memory with the tensors.

    Attributes:
        pieces: the bytes in order.
        size: number of bytes in all.
        sha256: their hash, hexadecimal.
    """

    pieces: list[bytes | memoryview]
    size: int
    sha256: str


def to_blob(tensors: Mapping[str, Tensor]) -> Blob:
    """The safetensors file of some tensors (float64, int64, float32); equal tensors give equal bytes."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Wide types first, so that every array is aligned to its type in a mapped file.
    order = sorted(plain, key=lambda name: (-plain[name].element_size(), name))
    header: dict[str, object] = {}
    pieces: list[bytes | memoryview] = []
    offset = 0
    for name in order:
        tensor = plain[name]
        size = tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + size],
        }
        if size:
            pieces.append(tensor.numpy().data.cast("B"))
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    pieces = [len(text).to_bytes(8, "little") + text, *pieces]
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return Blob(pieces, 8 + len(text) + offset, digest.hexdigest())


@dataclass(frozen=True)
class _Entry:
    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


def map_arrays(buffer: mmap.mmap, file: str) -> dict[str, Tensor]:
    """The tensors of a mapped safetensors file; they share its memory and keep it mapped.

    Args:
        buffer: the whole file, mapped copy-on-write, so that tensors may be written to without changing the file.
        file: its path, for errors.

    Raises:
        SceneFormatError: the header is not one that a correct writer makes of such a file.
    """
    whole = Node(file, "header", None)
    if len(buffer) < 8:
        raise whole.error("at least 8 bytes", f"a file of {len(buffer)} bytes")
    length = int.from_bytes(buffer[:8], "little")
    if length > min(MAX_HEADER_BYTES, len(buffer) - 8):
        raise whole.error(f"a header within the file of {len(buffer)} bytes", f"a header of {length} bytes")
    base = 8 + length
    entries = dict(_entries(parse(buffer[8:base], file)))
    _check_cover(entries, len(buffer) - base, whole)
    return {name: _tensor(buffer, base, entry) for name, entry in entries.items()}


def _entries(header: Node) -> Iterator[tuple[str, _Entry]]:
    for name, node in header.members().items():
        if name == "__metadata__":
            for text in node.members().values():
                text.text()
            continue
        members = node.object("dtype", "shape", "data_offsets")
        dtype = TYPES[members["dtype"].choice(*TYPES)]
        sizes = members["shape"].items(at_most=MAX_DIMENSIONS)
        shape = tuple(size.whole(least=0, most=MAX_ARRAY_BYTES) for size in sizes)
        if math.prod(max(size, 1) for size in shape) * dtype.itemsize > MAX_ARRAY_BYTES:
            raise members["shape"].error(f"at most {MAX_ARRAY_BYTES} bytes", f"{list(shape)}")
        begin, end = (i.whole(least=0, most=MAX_ARRAY_BYTES) for i in members["data_offsets"].items(count=2))
        if end - begin != math.prod(shape) * dtype.itemsize:
            wanted = f"{math.prod(shape) * dtype.itemsize} bytes for shape {list(shape)}"
            raise members["data_offsets"].error(wanted, f"bytes {begin} to {end}")
        yield name, _Entry(dtype, shape, begin, end)


def _check_cover(entries: Mapping[str, _Entry], size: int, whole: Node) -> None:
    """The arrays lie one after the other, without gap or overlap, and fill the file."""
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != at:
            place = f"bytes {entry.begin} to {entry.end}"
            raise whole.error(f"{name[:60]!r} to begin at byte {at} of the data", place)
        at = entry.end
    if at != size:
        raise whole.error(f"{at} bytes of data, as the header says", f"{size}")


def _tensor(buffer: mmap.mmap, base: int, entry: _Entry) -> Tensor:
    if entry.begin == entry.end:
        return torch.empty(entry.shape, dtype=entry.dtype)
    start = base + entry.begin
    data = torch.frombuffer(buffer, dtype=torch.uint8, count=entry.end - entry.begin, offset=start)
    if start % entry.dtype.itemsize:
        data = data.clone()
    return data.view(entry.dtype).view(entry.shape)
