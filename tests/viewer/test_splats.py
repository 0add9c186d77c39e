"""Surfels packed as the page's splats."""

from __future__ import annotations

import numpy as np
import torch

from recon4d.core import Surfels, quaternion
from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.viewer.space import Space
from recon4d.viewer.splats import GRAIN, THICKNESS, base_colors, pack

SPACE = Space(np.array([1.0, -2.0, 0.5]), 0.8, np.array([0.0, 0.0, 1.0]))


def some(count: int = 50, scale: float = 0.05) -> Surfels:
    generator = torch.Generator().manual_seed(3)
    return Surfels(
        centers=torch.randn(count, 3, generator=generator),
        rotations_wxyz=torch.randn(count, 4, generator=generator),
        scales=scale * (0.5 + torch.rand(count, 2, generator=generator)),
        opacities=torch.rand(count, generator=generator),
        sh=coefficients_from_color(torch.rand(count, 3, generator=generator)),
    )


def covariances(buffer: np.ndarray) -> np.ndarray:
    half = buffer[:, 4:7].copy().view(np.float16).astype(np.float64)
    full = half[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)
    return full / GRAIN**2


def test_places_are_those_of_the_page():
    surfels = some()
    buffer = pack(surfels, SPACE)
    centers = buffer[:, :3].copy().view(np.float32) / GRAIN
    assert np.allclose(centers, SPACE.to_page(surfels.centers.double().numpy()), atol=1e-5)


def test_covariances_are_those_of_the_surfels():
    surfels = some()
    axes = quaternion.to_matrix(quaternion.normalize(surfels.rotations_wxyz)).double().numpy()
    u, v = (surfels.scales.double().numpy() * SPACE.factor).T
    sizes = np.stack([u, v, THICKNESS * np.minimum(u, v)], -1)
    true = np.einsum("nik,nk,njk->nij", axes, sizes**2, axes)
    found = covariances(pack(surfels, SPACE))
    assert np.abs(found - true).max() < 1e-3 * true.max()


def test_fine_surfels_do_not_vanish():
    """In page units these covariances lie below what half floats can hold."""
    found = covariances(pack(some(scale=1e-4), SPACE))
    traces = np.trace(found, axis1=1, axis2=2)
    true = (some(scale=1e-4).scales.double().numpy() * SPACE.factor) ** 2
    assert np.allclose(traces, true.sum(1), rtol=0.05)


def test_colours_are_rounded_and_clamped():
    surfels = some().replace(sh=coefficients_from_color(torch.tensor([[1.5, 0.5, -0.2]]).repeat(50, 1)))
    rgba = pack(surfels, SPACE)[:, 7].copy().view(np.uint8).reshape(-1, 4)
    assert (rgba[:, :3] == [255, 128, 0]).all()
    assert np.abs(rgba[:, 3] / 255 - surfels.opacities.numpy()).max() <= 0.5 / 255 + 1e-6


def test_base_colours_leave_out_the_view():
    surfels = some()
    more = torch.nn.functional.pad(surfels.sh, (0, 0, 0, 3), value=0.7)
    assert torch.equal(base_colors(surfels.replace(sh=more)), base_colors(surfels))
    colors = torch.rand(50, 3)
    assert torch.equal(base_colors(surfels.replace(sh=None, features=colors)), colors)
