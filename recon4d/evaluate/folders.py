"""Two folders of images, made by anybody, on the same ruler as our own scenes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from recon4d.core import InputError
from recon4d.data.images import read_image
from recon4d.evaluate.image_scores import ImageScores
from recon4d.evaluate.lpips import Lpips
from recon4d.evaluate.protocols import Color, Settings, background_color, color_name
from recon4d.evaluate.result import Evaluation

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def evaluate_images(
    images: str | os.PathLike[str],
    against: str | os.PathLike[str],
    *,
    masks: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
) -> Evaluation:
    """Image scores of folder `images` against folder `against`, and flicker over the frames in order of name.

    Files are paired by name without suffix ("r_003.jpg" and "r_003.png"); where no name agrees but the counts do, in
    natural order of the names ("9" before "10"), which a note says.  Transparent images are laid over the background of
    the settings (white where "auto").

    Args:
        images: folder to score.
        against: folder with the truth.
        masks: folder of masks (white = subject) named like the truth; None takes the truth's alpha, where it has one.
        settings: only background, lpips, pixels_per_degree and worst matter here.

    Raises:
        InputError: a folder is missing or empty, files cannot be paired, or a pair differs in size.
    """
    chosen = settings or Settings()
    color = background_color(chosen.background, None)
    pairs, notes = _pairs(_files(images), _files(against))
    named_masks = {path.stem: path for path in _files(masks)} if masks is not None else None
    network = Lpips.load(chosen.lpips) if chosen.lpips else Lpips.from_environment()
    scores = ImageScores(lpips=network, worst=chosen.worst, pixels_per_degree=chosen.pixels_per_degree)
    transparent = False
    for path, truth in pairs:
        image, _ = _load(path, color)
        reference, alpha = _load(truth, color)
        transparent |= alpha is not None
        mask = alpha
        if named_masks is not None:
            if truth.stem not in named_masks:
                raise InputError(
                    str(masks),
                    expected=f"a mask named {truth.stem}",
                    got="none",
                    fix="name masks like the truth's images",
                )
            mask, _ = _load(named_masks[truth.stem], (0.0, 0.0, 0.0))
            mask = mask.max(2)
        if image.shape != reference.shape or (mask is not None and mask.shape != reference.shape[:2]):
            raise InputError(
                str(path),
                expected=f"the size of {truth}, {reference.shape[1]}x{reference.shape[0]}, for image and mask",
                got=f"{image.shape[1]}x{image.shape[0]}"
                + ("" if mask is None else f" (mask {mask.shape[1]}x{mask.shape[0]})"),
                fix="render or resize to the truth's resolution",
            )
        scores.add(truth.stem, image, reference, mask=mask)
    return Evaluation(
        protocol="images",
        background=color_name(color) if transparent else "images",
        resolution=scores.resolution,
        n_images=len(scores.frames),
        flicker=scores.flicker.value,
        frames=tuple(scores.frames),
        worst=tuple(scores.worst),
        notes=notes,
        **scores.means(),
    )


def natural_order(path: Path) -> list[tuple[int, str]]:
    """Sort key by which numbers in names count as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.stem) if part]


def _files(folder: str | os.PathLike[str]) -> list[Path]:
    root = Path(folder)
    found = [path for path in root.iterdir() if path.suffix.lower() in SUFFIXES] if root.is_dir() else []
    if not found:
        raise InputError(
            str(root), expected=f"a folder of images ({', '.join(SUFFIXES)})", got="none there", fix="check the path"
        )
    return sorted(found, key=natural_order)


def _pairs(first: list[Path], second: list[Path]) -> tuple[list[tuple[Path, Path]], tuple[str, ...]]:
    by_name = {path.stem: path for path in first}
    for files in (first, second):
        if len({path.stem for path in files}) < len(files):
            raise InputError(
                str(files[0].parent),
                expected="each name once",
                got="names that differ in their suffix only",
                fix="keep one image of each name",
            )
    missing = [path.stem for path in second if path.stem not in by_name]
    if not missing:
        extra = len(first) - len(second)
        notes = (f"{extra} images without a counterpart in the truth were left out.",) if extra else ()
        return [(by_name[path.stem], path) for path in second], notes
    if len(missing) == len(second) == len(first):
        return list(zip(first, second, strict=True)), (
            "No names agree: files were paired in the order of their names.",
        )
    raise InputError(
        str(first[0].parent),
        expected=f"an image for each of the {len(second)} in {second[0].parent}",
        got=f"none named {missing[0]}" + (f" and {len(missing) - 1} more" if len(missing) > 1 else ""),
        fix="name the images like the truth's, or give as many in the same order",
    )


def _load(path: Path, color: Color) -> tuple[Float32[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"] | None]:
    """Colours in [0, 1] over the background, and alpha where the file has one."""
    pixels = read_image(path)
    values = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    if values.ndim == 2:
        values = np.repeat(values[:, :, None], 3, axis=2)
    if values.shape[2] == 3:
        return values, None
    alpha = values[:, :, 3]
    return values[:, :, :3] * alpha[..., None] + np.array(color, np.float32) * (1 - alpha[..., None]), alpha
