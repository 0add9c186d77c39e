"""The focal length that a photograph states in its EXIF data, as on 35 mm film.  Does NOT read videos."""

from __future__ import annotations

import math
from pathlib import Path

_EXIF_IFD = 0x8769
_FOCAL_35MM = 0xA405


def focal_35mm(path: str | Path) -> float | None:
    """FocalLengthIn35mmFilm in millimetres; None where the file states none or cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            value = image.getexif().get_ifd(_EXIF_IFD).get(_FOCAL_35MM)
    except (OSError, ValueError, SyntaxError):
        return None
    if not isinstance(value, int | float) or not math.isfinite(value) or not 5 <= value <= 1000:
        return None
    return float(value)
