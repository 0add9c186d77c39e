"""Skinning weights against the formula, and at the edges."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import InputError, quaternion
from recon4d.field import skinning_weights
from recon4d.field.skinning import mahalanobis_squared

DOUBLE = torch.float64


def random_ellipsoids(seed, bones=6, points=9):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(points, 3, generator=generator, dtype=DOUBLE),
        torch.randn(bones, 3, generator=generator, dtype=DOUBLE),
        torch.randn(bones, 4, generator=generator, dtype=DOUBLE),
        0.2 + torch.rand(bones, 3, generator=generator, dtype=DOUBLE),
    )


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=30)
def test_distance_is_that_of_the_covariance(seed):
    points, centers, rotations, radii = random_ellipsoids(seed)
    axes = quaternion.to_matrix(rotations)
    covariance = axes @ torch.diag_embed(radii**2) @ axes.mT
    offset = points[:, None] - centers
    expected = torch.einsum("nbi,bij,nbj->nb", offset, torch.linalg.inv(covariance), offset)
    assert torch.allclose(mahalanobis_squared(points, centers, rotations, radii), expected, rtol=1e-8, atol=1e-10)


@given(seed=st.integers(0, 10_000), top_k=st.integers(1, 6))
@settings(deadline=None, max_examples=30)
def test_weights_are_the_softmax_over_the_nearest_bones(seed, top_k):
    ellipsoids = random_ellipsoids(seed)
    indices, weights = skinning_weights(*ellipsoids, top_k=top_k)
    distances = mahalanobis_squared(*ellipsoids)
    for n in range(len(distances)):
        nearest = distances[n].argsort()[:top_k]
        assert indices[n].tolist() == nearest.tolist()
        raw = torch.exp(-(distances[n, nearest] - distances[n, nearest[0]]))
        assert torch.allclose(weights[n], raw / raw.sum(), atol=1e-12)


def test_spare_slots_have_bone_0_and_no_weight():
    indices, weights = skinning_weights(*random_ellipsoids(0, bones=2))
    assert indices.shape == weights.shape == (9, 4)
    assert indices.dtype == torch.int64
    assert not indices[:, 2:].any()
    assert not weights[:, 2:].any()
    assert torch.allclose(weights.sum(-1), torch.ones(9, dtype=DOUBLE), atol=1e-14)


def test_a_correction_can_change_the_bones():
    ellipsoids = random_ellipsoids(0)
    correction = torch.zeros(9, 6, dtype=DOUBLE)
    correction[:, 3] = 1e6
    indices, weights = skinning_weights(*ellipsoids, correction=correction)
    assert (indices[:, 0] == 3).all()
    assert torch.equal(weights, torch.tensor([[1.0, 0, 0, 0]] * 9, dtype=DOUBLE))


def test_far_points_get_finite_weights_and_gradients():
    ellipsoids = [x.float().requires_grad_() for x in random_ellipsoids(0)]
    far = [ellipsoids[0] * 1e6, *ellipsoids[1:]]
    weights = skinning_weights(*far)[1]
    assert torch.isfinite(weights).all()
    weights[:, 0].sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in ellipsoids)


def test_gradients():
    inputs = [x.requires_grad_() for x in random_ellipsoids(4, bones=5, points=3)]
    correction = torch.zeros(3, 5, dtype=DOUBLE, requires_grad=True)

    def run(points, centers, rotations, radii, correction):
        return skinning_weights(points, centers, rotations, radii, correction=correction)[1]

    assert torch.autograd.gradcheck(run, [*inputs, correction], fast_mode=True)


def test_no_bones_are_refused():
    with pytest.raises(InputError, match="at least one bone"):
        skinning_weights(*random_ellipsoids(0, bones=0))
