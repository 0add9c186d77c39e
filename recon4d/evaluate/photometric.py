"""PSNR, SSIM and MS-SSIM, with mask-only forms.

Values are display-encoded, in [0, 1] or 8/16 bit.  Nothing is resized, cropped, or converted to gray or linear light.

SSIM: Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment: from error visibility to
structural similarity", 2004; an 11 x 11 Gaussian window of sigma 1.5, population covariances, K1 = 0.01, K2 = 0.03,
mean over the three channels and over the pixels whose window lies inside the image (scikit-image's
`gaussian_weights=True, sigma=1.5, use_sample_covariance=False`).  The zero-padded variant of many splatting code bases
scores a little differently.
MS-SSIM: Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multi-scale structural similarity for image quality assessment", 2003.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

from recon4d.core import InputError
from recon4d.evaluate.checks import as_image_pair, as_mask

PSNR_CEILING = 100.0  # dB; what identical images score, so that means over images stay finite
WINDOW_RADIUS = 5  # of the 11 x 11 window
WINDOW_SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2  # for values in [0, 1]
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_MIN_SIDE = 2 * WINDOW_RADIUS * 2 ** (len(MS_SSIM_WEIGHTS) - 1) + 1  # 161: one window fits at the coarsest scale


def psnr(
    image: Shaped[np.ndarray, "..."],
    reference: Shaped[np.ndarray, "..."],
    mask: Shaped[np.ndarray, "..."] | None = None,
) -> float:
    """Peak signal-to-noise ratio in dB of the 8-bit values (peak 255), over all pixels or those inside `mask`.

    Floats are rounded to 8 bits first, as saving them would.  At most `PSNR_CEILING`, which identical images score.

    Args:
        image, reference: [H, W, 3].
        mask: [H, W] or None; the error is averaged over its inside only (mPSNR), nothing outside has influence.

    Raises:
        InputError: wrong types, sizes or values, or an empty mask.
    """
    first, second = as_image_pair(image, reference)
    squared = (np.round(first * 255) - np.round(second * 255)) ** 2
    if mask is not None:
        squared = squared[as_mask(mask, *squared.shape[:2])]
    error = float(squared.mean())
    return PSNR_CEILING if error == 0 else min(PSNR_CEILING, 10 * float(np.log10(255**2 / error)))


def ssim_map(image: Shaped[np.ndarray, "..."], reference: Shaped[np.ndarray, "..."]) -> Float[np.ndarray, "h w"]:
    """SSIM [H-10, W-10] at the pixels whose window lies inside the image, mean over channels.

    Raises:
        InputError: wrong types, sizes or values, or a side shorter than the window (11 pixels).
    """
    first, second = as_image_pair(image, reference)
    _require_side(first, 2 * WINDOW_RADIUS + 1)
    luminance, contrast_structure = _terms(first, second)
    return (luminance * contrast_structure).mean(-1)


def ssim(
    image: Shaped[np.ndarray, "..."],
    reference: Shaped[np.ndarray, "..."],
    mask: Shaped[np.ndarray, "..."] | None = None,
) -> float:
    """Mean of `ssim_map`, at most 1.

    With a mask: the mean over the pixels inside it (whose window is inside the image).  Windows near the mask's border
    still see the outside, so composite both images on the same background first, or keep what both have there.

    Raises:
        InputError: as `ssim_map`; an empty mask, or one that lies within 5 pixels of the image's border throughout.
    """
    values = ssim_map(image, reference)
    if mask is None:
        return float(values.mean())
    inside = as_mask(mask, *image.shape[:2])[WINDOW_RADIUS:-WINDOW_RADIUS, WINDOW_RADIUS:-WINDOW_RADIUS]
    if not inside.any():
        raise InputError(
            "mask",
            expected=f"pixels at least {WINDOW_RADIUS} pixels from the image's border",
            got="a mask that touches the border only",
            fix="leave this image out",
        )
    return float(values[inside].mean())


def ms_ssim(image: Shaped[np.ndarray, "..."], reference: Shaped[np.ndarray, "..."]) -> float:
    """Multi-scale SSIM over five dyadic scales (2 x 2 means; an odd last row or column is repeated first).

    Contrast-structure means below zero count as zero, as in the usual implementations.

    Raises:
        InputError: as `ssim_map`, or a side shorter than 161 pixels.
    """
    first, second = as_image_pair(image, reference)
    _require_side(first, MS_SSIM_MIN_SIDE)
    score = np.ones(3)
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        luminance, contrast_structure = _terms(first, second)
        last = scale == len(MS_SSIM_WEIGHTS) - 1
        mean = (luminance * contrast_structure if last else contrast_structure).mean((0, 1))
        score *= np.maximum(mean, 0) ** weight
        if not last:
            first, second = _halve(first), _halve(second)
    return float(score.mean())


def _terms(
    first: Float[np.ndarray, "h w 3"], second: Float[np.ndarray, "h w 3"]
) -> tuple[Float[np.ndarray, "u v 3"], Float[np.ndarray, "u v 3"]]:
    """Luminance term and contrast-structure term of SSIM at the pixels whose window lies inside."""
    mean_1, mean_2 = _window_mean(first), _window_mean(second)
    variance_1 = _window_mean(first**2) - mean_1**2
    variance_2 = _window_mean(second**2) - mean_2**2
    covariance = _window_mean(first * second) - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + C1) / (mean_1**2 + mean_2**2 + C1)
    return luminance, (2 * covariance + C2) / (variance_1 + variance_2 + C2)


def _window_mean(values: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "u v 3"]:
    from scipy.ndimage import correlate1d

    x = np.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1)
    weights = np.exp(-0.5 * (x / WINDOW_SIGMA) ** 2)
    weights /= weights.sum()
    blurred = correlate1d(correlate1d(values, weights, axis=0), weights, axis=1)
    return blurred[WINDOW_RADIUS:-WINDOW_RADIUS, WINDOW_RADIUS:-WINDOW_RADIUS]


def _halve(values: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "u v 3"]:
    height, width = values.shape[:2]
    even = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, 3).mean((1, 3))


def _require_side(image: Float[np.ndarray, "h w 3"], least: int) -> None:
    height, width = image.shape[:2]
    if min(height, width) < least:
        raise InputError(
            "image",
            expected=f"sides of at least {least} pixels",
            got=f"{width}x{height}",
            fix="compare at a higher resolution, or leave this metric out",
        )
