"""Scores of many images, one pair at a time: means, flicker, and the worst frames, the only ones kept in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Shaped, UInt8

from recon4d.evaluate.checks import as_image_pair, as_mask
from recon4d.evaluate.flip_ldr import PIXELS_PER_DEGREE, flip_map
from recon4d.evaluate.photometric import MS_SSIM_MIN_SIDE, WINDOW_RADIUS, ms_ssim, psnr, ssim_map
from recon4d.evaluate.result import FrameScores, WorstFrame
from recon4d.evaluate.temporal import FlickerMeter

_MEANS = ("psnr", "ssim", "ms_ssim", "flip", "lpips", "psnr_masked", "ssim_masked", "flip_masked")


class ImageScores:
    """Adds up pairs of image and reference.

    Args:
        lpips: a loaded network, or None to leave LPIPS out.
        worst: how many of the worst frames (by FLIP) to keep.
        whole, masked: whether scores over the whole image and inside masks are wanted.
        pixels_per_degree: for FLIP.
    """

    def __init__(
        self,
        *,
        lpips: Callable[[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]], float] | None = None,
        worst: int = 6,
        whole: bool = True,
        masked: bool = True,
        pixels_per_degree: float = PIXELS_PER_DEGREE,
    ) -> None:
        self.frames: list[FrameScores] = []
        self.worst: list[WorstFrame] = []
        self.flicker = FlickerMeter()
        self.sizes: set[tuple[int, int]] = set()
        self._lpips, self._keep, self._whole, self._masked = lpips, worst, whole, masked
        self._pixels_per_degree = pixels_per_degree

    def add(
        self,
        name: str,
        image: Shaped[np.ndarray, "..."],
        reference: Shaped[np.ndarray, "..."],
        *,
        mask: Shaped[np.ndarray, "..."] | None = None,
        time: float | None = None,
        camera: str = "",
    ) -> FrameScores:
        """Scores of one pair [H, W, 3], both rounded to 8 bits first, as saved images are.

        An empty mask leaves the masked scores of this image out; masked SSIM also where the mask touches the border
        only.

        Raises:
            InputError: wrong types, sizes or values.
        """
        first, second = (np.round(x * 255).astype(np.uint8) for x in as_image_pair(image, reference))
        height, width = first.shape[:2]
        self.sizes.add((width, height))
        similarity = ssim_map(first, second) if min(height, width) > 2 * WINDOW_RADIUS else None
        error = flip_map(first, second, pixels_per_degree=self._pixels_per_degree)
        scores = FrameScores(
            name=name,
            time=time,
            psnr=psnr(first, second),
            ssim=None if similarity is None else float(similarity.mean()),
            ms_ssim=ms_ssim(first, second) if self._whole and min(height, width) >= MS_SSIM_MIN_SIDE else None,
            flip=float(error.mean()),
            lpips=None if self._lpips is None or not self._whole else self._lpips(first, second),
            **(self._inside(first, second, mask, similarity, error) if self._masked and mask is not None else {}),
        )
        self.frames.append(scores)
        self.worst.append(WorstFrame(scores, first, second, error))
        self.worst.sort(key=lambda frame: -frame.scores.flip)
        del self.worst[self._keep :]
        self.flicker.add(first, second, f"{camera} {width}x{height}")
        return scores

    def means(self) -> dict[str, float | None]:
        """Mean of every score over the frames that have it, None where none has."""
        result: dict[str, float | None] = {}
        for key in _MEANS:
            wanted = self._masked if key.endswith("_masked") else self._whole
            values = [value for frame in self.frames if wanted and (value := getattr(frame, key)) is not None]
            result[key] = float(np.mean(values)) if values else None
        return result

    @property
    def resolution(self) -> str | None:
        """ "WxH", "mixed", or None before the first pair."""
        if not self.sizes:
            return None
        width, height = next(iter(self.sizes))
        return f"{width}x{height}" if len(self.sizes) == 1 else "mixed"

    @staticmethod
    def _inside(
        image: UInt8[np.ndarray, "h w 3"],
        reference: UInt8[np.ndarray, "h w 3"],
        mask: Shaped[np.ndarray, "..."],
        similarity: Shaped[np.ndarray, "..."] | None,
        error: Shaped[np.ndarray, "h w"],
    ) -> dict[str, float]:
        """Masked scores from the maps at hand, those that apply."""
        if not _any_inside(mask):
            return {}
        inside = as_mask(mask, *error.shape)
        scores = {"psnr_masked": psnr(image, reference, inside), "flip_masked": float(error[inside].mean())}
        kept = inside[WINDOW_RADIUS:-WINDOW_RADIUS, WINDOW_RADIUS:-WINDOW_RADIUS]
        if similarity is not None and kept.any():
            scores["ssim_masked"] = float(similarity[kept].mean())
        return scores


def _any_inside(mask: Shaped[np.ndarray, "..."]) -> bool:
    """Whether a mask of any accepted type has an inside; what is wrong with others is for `as_mask` to say."""
    if mask.dtype == np.bool_:
        return bool(mask.any())
    limit = np.iinfo(mask.dtype).max // 2 + 1 if np.issubdtype(mask.dtype, np.unsignedinteger) else 0.5
    return bool((~(mask < limit)).any())
