"""Lens distortion: the documented polynomial, and resampling that puts every point where the pinhole camera sees it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import Camera
from recon4d.data.lens import Lens, source_pixels, undistort


def camera_of(lens: Lens, width: int, height: int) -> Camera:
    K = torch.tensor([[lens.fx, 0, lens.cx], [0, lens.fy, lens.cy], [0, 0, 1]], dtype=torch.float64)
    return Camera(K, torch.eye(4, dtype=torch.float64), width, height)


def test_the_polynomial_by_hand():
    lens = Lens(100, 200, 50, 60, skew=3, k1=0.1, k2=0.01, k3=0.001, p1=0.02, p2=0.03)
    x, y = 0.3, -0.2
    r2 = 0.09 + 0.04
    radial = 1 + 0.1 * r2 + 0.01 * r2**2 + 0.001 * r2**3
    bent_x = x * radial + 2 * 0.02 * x * y + 0.03 * (r2 + 2 * x * x)
    bent_y = y * radial + 0.02 * (r2 + 2 * y * y) + 2 * 0.03 * x * y
    expected = (100 * bent_x + 3 * bent_y + 50, 200 * bent_y + 60)
    np.testing.assert_allclose(lens.pixels_of(np.array([x, y])), expected, rtol=1e-14)


@settings(deadline=None, max_examples=20)
@given(
    bends=st.tuples(*[st.floats(-0.05, 0.05)] * 5),
    skew=st.floats(-5, 5),
    shift=st.tuples(st.floats(-8, 8), st.floats(-8, 8)),
)
def test_undistorted_images_show_points_where_the_pinhole_sees_them(bends, skew, shift):
    k1, k2, k3, p1, p2 = bends
    width, height = 64, 48
    lens = Lens(60, 55, 32 + shift[0], 24 + shift[1], skew, k1, k2, k3, p1 / 5, p2 / 5)
    camera = camera_of(lens, width, height)
    # A file's image whose pixel values are its own positions: after resampling they must be the lens's formula.
    y, x = np.mgrid[0:height, 0:width] + 0.5
    found = undistort(np.stack([x, y], -1), lens, camera)
    ideal = np.stack([(x - lens.cx) / lens.fx, (y - lens.cy) / lens.fy], -1)
    expected = lens.pixels_of(ideal)
    inside = ((expected >= 0.5) & (expected <= (width - 0.5, height - 0.5))).all(-1)
    np.testing.assert_allclose(found[inside], expected[inside], rtol=0, atol=1e-9)
    seen = source_pixels(lens, camera)[1]
    assert (seen >= inside).all()
    outside = ((expected < 0) | (expected > (width, height))).any(-1)
    assert not (seen & outside).any()


def test_no_distortion_is_the_identity():
    rng = np.random.default_rng(0)
    lens = Lens(50, 40, 11, 9)
    assert lens.is_pinhole
    for dtype in (np.uint8, np.uint16, np.float32):
        image = rng.integers(0, 256, (20, 24, 3)).astype(dtype)
        for nearest in (False, True):
            np.testing.assert_array_equal(undistort(image, lens, camera_of(lens, 24, 20), nearest=nearest), image)


def test_folding_is_not_seen():
    lens = Lens(20, 20, 32, 32, k1=-0.3)
    assert lens.largest_radius() == pytest.approx((1 / 0.9) ** 0.5)
    camera = camera_of(lens, 64, 64)
    seen = source_pixels(lens, camera)[1]
    y, x = (np.mgrid[0:64, 0:64] + 0.5 - 32) / 20
    np.testing.assert_array_equal(seen, np.hypot(x, y) < lens.largest_radius())
    assert Lens(1, 1, 0, 0, k1=0.1, k2=0.2).largest_radius() == np.inf


def test_scaling_keeps_what_is_seen():
    lens = Lens(60, 55, 32, 24, 2.0, 0.1, 0.01, 0.001, 0.02, 0.03)
    ideal = np.random.default_rng(0).normal(scale=0.3, size=(10, 2))
    np.testing.assert_allclose(lens.scaled(2, 3).pixels_of(ideal), lens.pixels_of(ideal) * (2, 3), rtol=1e-13)
