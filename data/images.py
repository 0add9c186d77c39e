"""Images and arrays in and out: uint8 or uint16 pixels with 1, 3 or 4 channels, and `.npy` / `.npz` arrays.

`read_image` applies the EXIF orientation, expands palettes and keeps 16-bit samples (RGB too, which Pillow alone would
cut to 8 bits).  Values are returned as stored: display-encoded, embedded colour profiles are NOT applied, nothing is
resized and alpha is not multiplied into colour.  `write_png` gives the same bytes for the same pixels.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped, UInt8, UInt16

from recon4d.core import InputError
from recon4d.data.files import atomic_path, write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage
else:
    PilImage = Any  # Pillow is imported where it is used; annotations are looked up when tests check them.

Image = UInt8[np.ndarray, "_ _"] | UInt8[np.ndarray, "_ _ _"] | UInt16[np.ndarray, "_ _"] | UInt16[np.ndarray, "_ _ _"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"})

_MAX_NPZ_BYTES = 4 << 30
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EXIF_ORIENTATION = 274
_TRANSPOSED = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height.
_AV_FORMATS = {1: "gray16", 3: "rgb48", 4: "rgba64"}


def _unreadable(path: str | Path, got: str) -> InputError:
    return InputError(
        str(path), expected="a readable image (PNG, JPEG, WebP, TIFF, BMP)", got=got, fix="check or replace the file"
    )


def _open(path: Path) -> PilImage:
    from PIL import Image as pil_image  # noqa: N813  (Pillow is heavy: imported where it is used)

    try:
        return pil_image.open(path)
    except OSError as error:
        raise _unreadable(path, error.strerror or "not an image that Pillow knows") from None
    except (ValueError, pil_image.DecompressionBombError) as error:
        raise _unreadable(path, str(error)) from None


def _deep_png_channels(header: bytes) -> int:
    """Channels of a 16-bit RGB or RGBA PNG whose first 26 bytes are `header`; 0 for anything else."""
    if not header.startswith(_PNG_SIGNATURE) or header[24:25] != b"\x10":
        return 0
    return {2: 3, 6: 4}.get(header[25], 0)


def _read_deep_png(path: Path, channels: int) -> UInt16[np.ndarray, "h w c"]:
    import av

    try:
        with av.open(io.BytesIO(path.read_bytes()), "r", format="png_pipe") as container:
            frame = next(container.decode(video=0))
    except (av.FFmpegError, StopIteration) as error:
        raise _unreadable(path, f"a broken 16-bit PNG ({error})") from None
    return frame.to_ndarray(format="rgb48le" if channels == 3 else "rgba64le").astype(np.uint16, copy=False)


def read_image(path: str | Path) -> Image:
    """Pixels of an image file, upright.

    Returns:
        uint8 or uint16 array: [H, W] for gray, [H, W, 3] for RGB, [H, W, 4] for RGBA, values as stored.

    Raises:
        InputError: missing, truncated or not an image; floating-point pixels; more pixels than Pillow deems safe.
    """
    path = Path(path)
    with _open(path) as image:
        with path.open("rb") as stream:
            deep = _deep_png_channels(stream.read(26))
        if deep:
            return _oriented(_read_deep_png(path, deep), image.getexif().get(_EXIF_ORIENTATION, 1))
        try:
            image.load()
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise _unreadable(path, str(error) or type(error).__name__) from None
        mode = image.mode
        transparent = "transparency" in image.info or mode in ("PA", "LA", "La", "RGBA", "RGBa")
        if mode in ("I;16", "I;16B", "I;16L", "I;16N"):
            pixels = np.asarray(image).astype(np.uint16)
        elif mode == "I":
            wide = np.asarray(image)
            if wide.min() < 0 or wide.max() > 65535:
                raise _unreadable(path, f"32-bit values from {wide.min()} to {wide.max()}")
            pixels = wide.astype(np.uint16)
        elif mode == "F":
            raise _unreadable(path, "floating-point pixels")
        else:
            target = "RGBA" if transparent else "L" if mode in ("1", "L") else "RGB"
            pixels = np.array(image if mode == target else image.convert(target))
    return _oriented(pixels, orientation)


def _oriented(pixels: Image, orientation: int) -> Image:
    """Turn stored pixels upright by the EXIF orientation 1..8 (values outside mean 1)."""
    if orientation in _TRANSPOSED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def image_size(path: str | Path) -> tuple[int, int]:
    """(width, height) of the upright image, from the header alone.

    Raises:
        InputError: missing or not an image.
    """
    with _open(Path(path)) as image:
        width, height = image.size
        return (height, width) if image.getexif().get(_EXIF_ORIENTATION, 1) in _TRANSPOSED else (width, height)


def write_png(path: str | Path, pixels: Shaped[np.ndarray, "*shape"]) -> None:
    """Write a PNG atomically; the same pixels give the same bytes.

    Args:
        path: target, ending in .png.
        pixels: uint8 or uint16 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4].

    Raises:
        InputError: another dtype or shape, no pixels, or a folder that cannot be written.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.ndim not in (2, 3) or channels not in _AV_FORMATS or pixels.size == 0:
        raise InputError(
            "pixels",
            expected="an array [H, W], [H, W, 3] or [H, W, 4] with at least one pixel",
            got=f"shape {list(pixels.shape)}",
            fix="add or drop channels",
        )
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(
            "pixels",
            expected="uint8 or uint16",
            got=str(pixels.dtype),
            fix="scale [0, 1] to 255, round, clip and convert with .astype(np.uint8)",
        )
    if pixels.dtype == np.uint16:
        write_bytes(path, _encode_deep_png(pixels, channels))
        return
    from PIL import Image as pil_image  # noqa: N813

    with atomic_path(path) as temporary:
        pil_image.fromarray(np.ascontiguousarray(pixels)).save(temporary, format="PNG", compress_level=6)


def _encode_deep_png(pixels: UInt16[np.ndarray, "*shape"], channels: int) -> bytes:
    import av

    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height = pixels.shape[1], pixels.shape[0]
    encoder.pix_fmt = _AV_FORMATS[channels] + "be"
    encoder.time_base = Fraction(1)
    encoder.options = {"pred": "mixed"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), _AV_FORMATS[channels] + "le")
    frame = frame.reformat(format=encoder.pix_fmt)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def read_array(path: str | Path) -> Shaped[np.ndarray, "*shape"]:
    """Array of a `.npy` file; refuses pickled objects and headers that promise more than the file holds.

    Raises:
        InputError: missing, not a .npy file, truncated, or an array of Python objects.
    """
    path = Path(path)
    with _array_errors(path), path.open("rb") as stream:
        return _read_npy(stream, path.stat().st_size)


def read_arrays(path: str | Path) -> dict[str, Shaped[np.ndarray, "*shape"]]:
    """Named arrays of a `.npz` file, with the same care.

    Raises:
        InputError: missing, not a .npz file, damaged, arrays of Python objects, or more than 4 GiB when unpacked.
    """
    path = Path(path)
    with _array_errors(path), zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
        if sum(entry.file_size for entry in entries) > _MAX_NPZ_BYTES:
            raise ValueError("more than 4 GiB when unpacked")
        arrays = {}
        for entry in entries:
            with archive.open(entry) as stream:
                # ZipFile never yields more than the size that the entry announces.
                content = stream.read(entry.file_size)
            arrays[entry.filename.removesuffix(".npy")] = _read_npy(io.BytesIO(content), len(content))
        return arrays


@contextmanager
def _array_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            str(path), expected="a readable file", got=error.strerror or str(error), fix="check the path"
        ) from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise InputError(str(path), expected="whole arrays", got=str(error), fix="write the file again") from None


def _read_npy(stream: io.BufferedIOBase, size: int) -> Shaped[np.ndarray, "*shape"]:
    npy = np.lib.format
    version = npy.read_magic(stream)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    promised = math.prod(shape) * dtype.itemsize
    there = size - stream.tell()
    if dtype.hasobject or promised > there:
        raise ValueError("an array of Python objects" if dtype.hasobject else f"{there} of {promised} bytes")
    stream.seek(0)
    return npy.read_array(stream, allow_pickle=False)


def write_array(path: str | Path, array: Shaped[np.ndarray, "*shape"]) -> None:
    """Write a `.npy` file atomically, C order; the same array gives the same bytes."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
