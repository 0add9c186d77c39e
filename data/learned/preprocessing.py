"""From frames to what a network takes: sizes, resampling and normalisation as its processor's JSON says.

The processors of transformers want torchvision or Pillow; these few steps are done here with torch alone and compared
with them in the tests.  Does NOT crop, and does not know video files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from recon4d.core import InputError
from recon4d.data.files import read_json

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HALF = (0.5, 0.5, 0.5)
_RESAMPLING: dict[int, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers.


@dataclass(frozen=True)
class Preprocessing:
    """How frames become a network's input.

    Attributes:
        height, width: the size to reach, exactly or nearly.
        keep_aspect: scale both sides alike, by the factor nearer to 1.
        multiple: sides are rounded to multiples of this.
        mode: of resampling, with antialiasing.
        factor: by which 8-bit values are multiplied.
        mean, std: subtracted and divided by afterwards, for each channel.
        reflect: add reflected borders first (ZoeDepth's), and resize with aligned corners and without antialiasing.
    """

    height: int
    width: int
    keep_aspect: bool = False
    multiple: int = 1
    mode: Literal["bilinear", "bicubic"] = "bilinear"
    factor: float = 1 / 255
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    reflect: bool = False

    def size_for(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the input made from frames of a size (borders included)."""
        y, x = self.height / height, self.width / width
        if self.keep_aspect:
            y = x = x if abs(1 - x) < abs(1 - y) else y
        # Half to even, as in numpy, on which the originals rely.
        sides = (int(np.round(side / self.multiple)) * self.multiple for side in (y * height, x * width))
        first, second = (max(side, self.multiple) for side in sides)
        return first, second

    def borders(self, height: int, width: int) -> tuple[int, int]:
        """Rows above and below, columns left and right that are added to frames of a size."""
        return (int(np.sqrt(height / 2) * 3), int(np.sqrt(width / 2) * 3)) if self.reflect else (0, 0)

    def __call__(
        self, frames: UInt8[np.ndarray, "b h w 3"], device: torch.device
    ) -> Float32[Tensor, "b 3 height width"]:
        """The network's input for frames of display sRGB."""
        pixels = torch.from_numpy(np.array(frames)).to(device).movedim(-1, 1).float()
        rows, columns = self.borders(*pixels.shape[2:])
        if self.reflect:
            pixels = torch.nn.functional.pad(pixels, (columns, columns, rows, rows), mode="reflect")
        size = self.size_for(*pixels.shape[2:])
        pixels = torch.nn.functional.interpolate(
            pixels, size, mode=self.mode, align_corners=self.reflect, antialias=not self.reflect
        )
        mean = torch.tensor(self.mean, device=device)[:, None, None]
        std = torch.tensor(self.std, device=device)[:, None, None]
        return (pixels * self.factor - mean) / std

    def undo_size(self, maps: Float32[Tensor, "b a c"], height: int, width: int) -> Float32[Tensor, "b height width"]:
        """Maps that came out of the network, at the size of the frames."""
        rows, columns = self.borders(height, width)
        size = (height + 2 * rows, width + 2 * columns)
        full = torch.nn.functional.interpolate(maps[:, None], size, mode="bicubic", align_corners=False)[:, 0]
        return full[:, rows : rows + height, columns : columns + width]


def read_preprocessing(folder: Path, names: tuple[str, ...], default: Preprocessing) -> Preprocessing:
    """What the first of some JSON files that exists says; `default` where there is none, and for what it leaves out.

    Args:
        folder: of the weights.
        names: files to look for, in this order; in `processor_config.json` the processor's settings are nested.
        default: of this kind of model.

    Raises:
        InputError: settings that are not known here, or of the wrong type.
    """
    for name in names:
        path = folder / name
        if path.is_file():
            content: Any = read_json(path)
            if name == "processor_config.json":
                content = content.get("video_processor") or content.get("image_processor")
            if content:
                return _parsed(content, default, path)
    return default


def _parsed(content: Any, default: Preprocessing, path: Path) -> Preprocessing:
    try:
        if not content.get("do_resize", True):
            raise _unknown(path, "do_resize true", "false")
        if bool(content.get("do_pad", default.reflect)) != default.reflect:
            raise _unknown(path, f"do_pad {str(default.reflect).lower()}", str(not default.reflect).lower())
        resample = content.get("resample")
        if resample is not None and int(resample) not in _RESAMPLING:
            raise _unknown(path, "resample 2 (bilinear) or 3 (bicubic)", repr(resample))
        height, width = _size(content["size"], path) if "size" in content else (default.height, default.width)
        rescales, normalizes = content.get("do_rescale", True), content.get("do_normalize", True)
        return Preprocessing(
            height,
            width,
            bool(content.get("keep_aspect_ratio", default.keep_aspect)),
            max(1, int(content.get("ensure_multiple_of") or default.multiple)),
            default.mode if resample is None else _RESAMPLING[int(resample)],
            float(content.get("rescale_factor") or default.factor) if rescales else 1.0,
            _channels(content.get("image_mean") or default.mean) if normalizes else (0.0, 0.0, 0.0),
            _channels(content.get("image_std") or default.std) if normalizes else (1.0, 1.0, 1.0),
            default.reflect,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise _unknown(path, "settings of an image processor", str(error) or type(error).__name__) from None


def _size(size: Any, path: Path) -> tuple[int, int]:
    if isinstance(size, int):
        size = {"height": size, "width": size}
    if "height" not in size or "width" not in size:
        raise _unknown(path, "size with height and width", repr(size))
    height, width = int(size["height"]), int(size["width"])
    if not (0 < height <= 8192 and 0 < width <= 8192):
        raise _unknown(path, "a size of 1 to 8192 pixels", f"{width}x{height}")
    return height, width


def _channels(values: Any) -> tuple[float, ...]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _unknown(path: Path, expected: str, got: str) -> InputError:
    return InputError(str(path), expected=expected, got=got, fix="use the weights' own, unchanged processor file")


DPT = Preprocessing(384, 384, mode="bicubic", mean=_HALF, std=_HALF)
DEPTH_ANYTHING = Preprocessing(518, 518, keep_aspect=True, multiple=14, mode="bicubic")
ZOEDEPTH = Preprocessing(384, 512, keep_aspect=True, multiple=32, mean=_HALF, std=_HALF, reflect=True)
