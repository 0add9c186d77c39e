"""PSNR, SSIM and MS-SSIM against formulas done by hand and against scikit-image."""

from __future__ import annotations

import importlib
import math
import os
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import InputError
from recon4d.evaluate import PSNR_CEILING, ms_ssim, psnr, ssim, ssim_map
from recon4d.evaluate.photometric import C1, MS_SSIM_MIN_SIDE, MS_SSIM_WEIGHTS


def required(name: str) -> ModuleType:
    """The module; where it is missing the test is skipped, except in CI, where that is a failure."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("CI", "").lower() == "true":
            raise
        pytest.skip(f"{name} is not installed")


def picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth random image [H, W, 3] float32 that spans [0, 1]."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).random((height, width, 3)), (2, 2, 0))
    return ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)


@pytest.mark.parametrize("levels", [1, 8, 60])
def test_psnr_of_a_constant_offset_is_the_formula(levels: int) -> None:
    reference = np.random.default_rng(0).integers(0, 190, (9, 7, 3), dtype=np.uint8)
    assert psnr(reference + np.uint8(levels), reference) == pytest.approx(20 * math.log10(255 / levels), abs=1e-12)


def test_psnr_is_of_8_bit_values() -> None:
    reference = np.full((4, 4, 3), 100 / 255)
    assert psnr(reference + 0.4 / 255, reference) == PSNR_CEILING
    assert psnr(reference + 0.6 / 255, reference) == pytest.approx(20 * math.log10(255))


def test_masked_psnr_ignores_everything_outside() -> None:
    reference = np.zeros((6, 6, 3), dtype=np.uint8)
    image = np.full_like(reference, 200)
    image[2:4, 2:4] = 5
    mask = np.zeros((6, 6), dtype=bool)
    mask[2:4, 2:4] = True
    assert psnr(image, reference, mask) == pytest.approx(20 * math.log10(255 / 5))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [(11, 11), (40, 57)])
def test_ssim_agrees_with_scikit_image(seed: int, size: tuple[int, int]) -> None:
    metrics = required("skimage.metrics")
    reference = picture(seed, *size)
    noise = 0.2 * np.random.default_rng(seed + 9).normal(size=reference.shape)
    image = np.clip(reference + noise, 0, 1).astype(np.float32)
    settings_of_the_paper = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    expected = metrics.structural_similarity(image, reference, channel_axis=2, **settings_of_the_paper)
    assert ssim(image, reference) == pytest.approx(expected, abs=1e-5)


def test_ssim_of_two_flat_images_is_the_luminance_term() -> None:
    image, reference = np.full((12, 15, 3), 0.25), np.full((12, 15, 3), 0.75)
    expected = (2 * 0.25 * 0.75 + C1) / (0.25**2 + 0.75**2 + C1)
    assert ssim(image, reference) == pytest.approx(expected, abs=1e-12)
    assert ssim_map(image, reference).shape == (2, 5)


def test_ms_ssim_of_two_flat_images_is_the_coarsest_luminance_term() -> None:
    size = (MS_SSIM_MIN_SIDE, MS_SSIM_MIN_SIDE + 6, 3)
    luminance = (2 * 0.25 * 0.75 + C1) / (0.25**2 + 0.75**2 + C1)
    expected = luminance ** MS_SSIM_WEIGHTS[-1]
    assert ms_ssim(np.full(size, 0.25), np.full(size, 0.75)) == pytest.approx(expected, abs=1e-9)


def test_ms_ssim_forgives_fine_noise_more_than_ssim_and_falls_with_blur() -> None:
    from scipy.ndimage import gaussian_filter

    reference = picture(3, 170, 180)
    noisy = np.clip(reference + 0.05 * np.random.default_rng(1).normal(size=reference.shape), 0, 1)
    blurred = [gaussian_filter(reference, (sigma, sigma, 0)) for sigma in (1, 2, 4)]
    assert ssim(noisy, reference) < ms_ssim(noisy, reference) < 1
    scores = [ms_ssim(image, reference) for image in blurred]
    assert scores == sorted(scores, reverse=True)


def test_masked_ssim_is_the_mean_of_the_map_inside() -> None:
    image, reference = picture(1), picture(2)
    mask = np.zeros(image.shape[:2], dtype=np.uint8)
    mask[20:30, 3:40] = 255
    expected = ssim_map(image, reference)[15:25, 0:35].mean()
    assert ssim(image, reference, mask) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(11, 30), st.integers(11, 30))
def test_perfect_and_symmetric(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    image, reference = (rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(2))
    assert psnr(image, image) == PSNR_CEILING
    assert ssim(image, image) == pytest.approx(1, abs=1e-12)
    assert psnr(image, reference) == psnr(reference, image) < PSNR_CEILING
    assert ssim(image, reference) == pytest.approx(ssim(reference, image), abs=1e-12)
    assert -1 <= ssim(image, reference) < 1


def test_ms_ssim_is_perfect_and_symmetric() -> None:
    image, reference = picture(4, 161, 163), picture(5, 161, 163)
    assert ms_ssim(image, image) == pytest.approx(1, abs=1e-12)
    assert ms_ssim(image, reference) == pytest.approx(ms_ssim(reference, image), abs=1e-12)


GOOD = np.zeros((20, 20, 3), dtype=np.float32)


@pytest.mark.parametrize(
    ("image", "wrong"),
    [
        (GOOD[..., 0], "image: expected an array"),
        (GOOD[..., :2], "image: expected an array"),
        (GOOD[:0], "image: expected an array"),
        (GOOD.astype(np.int64), "got int64"),
        (np.full_like(GOOD, np.nan), "1200 NaN"),
        (GOOD + 2, r"display values in \[0, 1\]"),
        (GOOD[:19], "got 20x19"),
    ],
)
def test_bad_images_are_refused_in_one_line(image: np.ndarray, wrong: str) -> None:
    with pytest.raises(InputError, match=wrong) as caught:
        psnr(image, GOOD)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mask", "wrong"),
    [
        (np.ones((20, 19)), r"mask: expected an array \[20, 20\]"),
        (np.zeros((20, 20)), "an empty mask"),
        (np.full((20, 20), np.nan), "400 NaN"),
        (np.ones((20, 20), dtype=np.int32), "int32"),
    ],
)
def test_bad_masks_are_refused(mask: np.ndarray, wrong: str) -> None:
    with pytest.raises(InputError, match=wrong):
        psnr(GOOD, GOOD, mask)


def test_images_smaller_than_the_window_are_refused() -> None:
    with pytest.raises(InputError, match="at least 11 pixels, got 20x10"):
        ssim(GOOD[:10], GOOD[:10])
    with pytest.raises(InputError, match="at least 161 pixels"):
        ms_ssim(GOOD, GOOD)
    border = np.zeros((20, 20), dtype=bool)
    border[:, 0] = True
    with pytest.raises(InputError, match="touches the border only"):
        ssim(GOOD, GOOD, border)
