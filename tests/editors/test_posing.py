"""Surfels and bones by the kernels, against the warps' own formulas."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import Surfels, quaternion
from recon4d.core.spline import SE3Spline
from recon4d.editors import posing
from recon4d.editors.bone_frames import path_at, poses_at, transforms_at
from recon4d.editors.posing import pose
from recon4d.field import BonesWarp, Field

TIMES = torch.tensor([-1.0, 0.0, 0.31, 1.2, 9.0], dtype=torch.float64)


def path(generator: torch.Generator, *batch: int) -> SE3Spline:
    turns = torch.randn(*batch, 7, 3, generator=generator, dtype=torch.float64)
    places = torch.randn(*batch, 7, 3, generator=generator, dtype=torch.float64)
    return SE3Spline(quaternion.exp(turns), places, 0.0, 0.4)


def bent(seed: int, bones: int = 6, root: bool = True, blend: str = "linear", turned: bool = True) -> Field:
    """Twenty surfels on bones that rest turned; some have all their weight on one bone, some hardly any on others."""
    generator = torch.Generator().manual_seed(seed)
    count = 20

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rests = random(bones, 4)
    rests[:, 1:] *= float(turned)
    weights = random(count, 4).abs() + 1e-3
    weights[:5, 1:] = 0
    weights[5:9, 1:] *= torch.tensor([1e-29, 1e-35, 1e-300], dtype=torch.float64)
    warp = BonesWarp(
        root=path(generator) if root else None,
        rest_rotations_wxyz=rests,
        rest_translations=random(bones, 3),
        path=path(generator, bones),
        weight_indices=torch.randint(0, bones, (count, 4), generator=generator),
        weights=weights / weights.sum(-1, keepdim=True),
        blend=blend,  # type: ignore[arg-type]
    )
    surfels = Surfels(random(count, 3), random(count, 4), random(count, 2).abs(), torch.ones(count).double(), None)
    return Field(surfels.replace(features=random(count, 1)), torch.arange(count), warp)


def same_poses(found: tuple[torch.Tensor, torch.Tensor], expected: tuple[torch.Tensor, torch.Tensor]) -> None:
    matrices = (quaternion.to_matrix(rotations) for rotations, _ in (found, expected))
    torch.testing.assert_close(*matrices, rtol=0, atol=1e-12)
    torch.testing.assert_close(found[0].norm(dim=-1), torch.ones_like(found[0][..., 0]), rtol=0, atol=1e-12)
    torch.testing.assert_close(found[1], expected[1], rtol=0, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from([1, 3, 6]), st.booleans(), st.booleans())
def test_bones_are_where_the_warp_says(seed: int, bones: int, root: bool, turned: bool) -> None:
    warp = bent(seed, bones, root, turned=turned).warp
    assert isinstance(warp, BonesWarp)
    same_poses(transforms_at(warp, TIMES), warp.transforms_at(TIMES))
    same_poses(poses_at(warp, TIMES), warp.poses_at(TIMES))
    if warp.root is not None:
        same_poses(path_at(warp.root, TIMES), warp.root.at(TIMES))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from([1, 3, 6]), st.sampled_from(["linear", "dual_quaternion"]), st.booleans())
def test_surfels_are_where_the_field_says(seed: int, bones: int, blend: str, turned: bool) -> None:
    field = bent(seed, bones, blend=blend, turned=turned)
    found, expected = pose(field, TIMES), field.at_times(TIMES)
    torch.testing.assert_close(found.centers, expected.centers, rtol=0, atol=1e-10)
    for name in ("rotations_wxyz", "world_from_canonical_wxyz"):
        matrices = (quaternion.to_matrix(getattr(state, name)) for state in (found, expected))
        torch.testing.assert_close(*matrices, rtol=0, atol=1e-9)


def test_distances_to_bones_count_for_nothing_however_large_the_scene() -> None:
    field = bent(4)
    far = field.canonical.replace(centers=1e3 * field.canonical.centers)
    large = replace(field, canonical=far)
    expected = large.at_times(TIMES).centers
    torch.testing.assert_close(pose(large, TIMES).centers, expected, rtol=1e-11, atol=1e-8)
    single = large.to(torch.float32)
    torch.testing.assert_close(pose(single, TIMES).centers.double(), expected, rtol=1e-4, atol=2e-2)


def test_the_kernel_is_given_no_denormal_numbers() -> None:
    tiny = torch.finfo(torch.float32).tiny
    # Neither by distances of a millionth of a unit, nor by weights that are next to none.
    assert math.exp(-2 * posing._FAR) * 1e-6**2 > tiny
    weights = torch.tensor([[1.0, 1e-29, 1e-31, 0.0]])
    shares = posing._logarithms(weights).exp()
    assert torch.equal(shares == 0, torch.tensor([[False, False, True, True]]))
    assert shares[0, 1] > tiny


@pytest.mark.parametrize("learned", ["path", "rest", "root", "weights"])
def test_gradients_still_reach_what_is_learned(learned: str) -> None:
    field = bent(7)
    warp = field.warp
    assert isinstance(warp, BonesWarp)
    assert warp.root is not None
    tensor = {
        "path": warp.path.translations,
        "rest": warp.rest_rotations_wxyz,
        "root": warp.root.translations,
        "weights": warp.weights,
    }[learned].requires_grad_()
    found = pose(field, TIMES).centers if learned == "weights" else transforms_at(warp, TIMES)[1]
    (gradient,) = torch.autograd.grad(found.sum(), tensor)
    assert gradient.abs().max() > 0
    with torch.no_grad():
        assert not transforms_at(warp, TIMES)[1].requires_grad
