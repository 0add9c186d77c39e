"""The residual warp against trilinear interpolation and B-splines written out, and against its base."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from recon4d.core import InputError
from recon4d.field import BonesWarp, IdentityWarp, ResidualWarp
from tests.field.test_warps import DOUBLE, WARPS, random_bones, random_field

LOW, HIGH = torch.tensor([-1.0, -0.5, 0.0], dtype=DOUBLE), torch.tensor([1.0, 2.5, 0.5], dtype=DOUBLE)


def random_residual(base=None, shape=(6, 3, 4, 2), seed=0):
    generator = torch.Generator().manual_seed(seed)
    grid = 0.3 * torch.randn(*shape, 3, generator=generator, dtype=DOUBLE)
    return ResidualWarp(base or IdentityWarp(), grid, LOW, HIGH, 0.2, 0.5)


def places(count=7, beyond=0.0, seed=1):
    generator = torch.Generator().manual_seed(seed)
    unit = torch.rand(count, 3, generator=generator, dtype=DOUBLE)
    return LOW + (unit * (1 + 2 * beyond) - beyond) * (HIGH - LOW)


def trilinear(nodes, place):
    """The displacement of one point among the nodes [X, Y, Z, 3] at one time."""
    sizes = np.array(nodes.shape[:3])
    at = ((place - LOW.numpy()) / (HIGH - LOW).numpy()).clip(0, 1) * (sizes - 1)
    first = np.minimum(at.astype(int), sizes - 2)
    total = np.zeros(3)
    for corner in itertools.product((0, 1), repeat=3):
        share = np.prod(np.where(corner, at - first, 1 - (at - first)))
        total += share * nodes[tuple(first + corner)]
    return total


def test_displacements_are_trilinear_in_space_and_cubic_splines_in_time():
    warp, centers = random_residual(), places(beyond=0.3)
    # Before, at both ends of, inside and after the domain [0.2, 1.7].
    times = torch.tensor([-1.0, 0.2, 0.45, 0.7, 1.61, 1.7, 9.0], dtype=DOUBLE)
    assert warp.end == pytest.approx(1.7)
    # Knots as SE3Spline has them: the first control's influence begins three steps before the domain.
    spline = BSpline(0.2 + 0.5 * (np.arange(10) - 3), warp.grid.numpy(), 3)
    found = warp.residual_at(centers, times)
    for t, time in enumerate(times.tolist()):
        nodes = spline(min(max(time, 0.2), 1.7))
        for n in range(len(centers)):
            assert np.allclose(found[t, n], trilinear(nodes, centers[n].numpy()), atol=1e-12)


def test_the_nodes_lie_at_the_corners_of_the_box():
    warp = random_residual()
    steady = dataclasses.replace(warp, grid=warp.grid[:1].expand_as(warp.grid))
    corners = torch.stack(torch.meshgrid(*torch.stack([LOW, HIGH], -1), indexing="ij"), -1).view(-1, 3)
    found = steady.residual_at(corners, torch.tensor([0.9], dtype=DOUBLE))[0]
    assert torch.allclose(found.view(2, 2, 2, 3), warp.grid[0, ::2, ::3], atol=1e-12)


def test_a_linear_displacement_is_that_everywhere_in_the_box():
    axes = [torch.linspace(float(a), float(b), n, dtype=DOUBLE) for a, b, n in zip(LOW, HIGH, (3, 4, 2), strict=True)]
    nodes = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    turn = torch.randn(3, 3, generator=torch.Generator().manual_seed(2), dtype=DOUBLE)
    warp = dataclasses.replace(random_residual(), grid=(nodes @ turn).expand(6, 3, 4, 2, 3))
    centers = places(50)
    found = warp.residual_at(centers, torch.tensor([0.3, 1.2], dtype=DOUBLE))
    assert torch.allclose(found, (centers @ turn).expand(2, -1, -1), atol=1e-12)


@pytest.mark.parametrize("kind", WARPS)
def test_points_are_displaced_first_and_then_moved_by_the_base(kind):
    base = WARPS[kind]()
    warp, centers = random_residual(base), places()
    times = torch.tensor([0.3, 0.8, 1.4], dtype=DOUBLE)
    moved, turns = warp.at_times(centers, times)
    assert moved.is_contiguous()
    assert turns.is_contiguous()
    for t in range(3):
        moment = times[t : t + 1]
        displaced = centers + warp.residual_at(centers, moment)[0]
        alone, alone_turns = base.at_times(displaced, moment)
        assert torch.allclose(moved[t], alone[0], atol=1e-12)
        assert torch.allclose(turns[t], alone_turns[0], atol=1e-12)
    # The turns are those of the base: of where points were bound, not of where they are displaced to.
    assert torch.equal(turns, base.at_times(centers, times)[1])
    assert not torch.allclose(moved, base.at_times(centers, times)[0], atol=1e-2)


@pytest.mark.parametrize("kind", WARPS)
def test_no_displacements_are_the_base(kind):
    base = WARPS[kind]()
    warp = random_residual(base)
    still = random_field(dataclasses.replace(warp, grid=torch.zeros_like(warp.grid)))
    times = [0.0, 0.7, 3.0]
    expected, found = random_field(base).at_times(times), still.at_times(times)
    for name, tensor in expected.tensors().items():
        assert torch.equal(getattr(found, name), tensor)


@pytest.mark.parametrize("kind", WARPS)
def test_points_that_differ_between_times_move_as_each_time_on_its_own(kind):
    warp = WARPS[kind]()
    centers = torch.stack([places(seed=1), places(seed=2)])
    times = torch.tensor([0.3, 1.1], dtype=DOUBLE)
    for one in (warp, random_residual(warp)):
        moved, turns = one.at_times(centers, times)
        for t in range(2):
            alone, alone_turns = one.at_times(centers[t], times[t : t + 1])
            assert torch.allclose(moved[t], alone[0], atol=1e-13)
            assert torch.allclose(turns[t], alone_turns[0], atol=1e-13)


def test_gradients_reach_points_grid_and_base():
    warp = random_residual(random_bones(bones=3, points=4), shape=(5, 2, 3, 2))
    base = warp.base
    times = torch.tensor([0.31, 1.05], dtype=DOUBLE)

    def run(centers, grid, low, high, weights, path_q, path_t):
        path = dataclasses.replace(base.path, rotations_wxyz=path_q, translations=path_t)
        moved = dataclasses.replace(base, weights=weights, path=path)
        return dataclasses.replace(warp, base=moved, grid=grid, low=low, high=high).at_times(centers, times)

    inputs = (places(4), warp.grid, LOW, HIGH, base.weights, base.path.rotations_wxyz, base.path.translations)
    assert torch.autograd.gradcheck(run, [x.clone().requires_grad_() for x in inputs], fast_mode=True)


def test_only_the_controls_and_nodes_in_use_get_gradients():
    warp = random_residual(shape=(8, 3, 4, 2))
    grid = warp.grid.clone().requires_grad_()
    # One point in the cell next to `low`, in the middle of the second step.
    point = (LOW + 0.1 * (HIGH - LOW))[None]
    moving = dataclasses.replace(warp, grid=grid)
    moving.residual_at(point, torch.tensor([0.2 + 1.5 * 0.5], dtype=DOUBLE)).sum().backward()
    used = (grid.grad != 0).nonzero()
    assert used.amin(0).tolist() == [1, 0, 0, 0, 0]
    assert used.amax(0).tolist() == [4, 1, 1, 1, 2]
    assert grid.grad.sum().item() == pytest.approx(3)


def test_selection_conversion_and_names_pass_through():
    warp = random_residual(random_bones())
    field = random_field(warp)
    assert warp.point_count == 7
    assert isinstance(warp.underlying, BonesWarp)
    assert warp.base.underlying is warp.base
    rows = torch.tensor([4, 1])
    chosen = field.select(rows)
    for name, tensor in chosen.at(0.6).tensors().items():
        assert torch.allclose(tensor, getattr(field.at(0.6), name)[rows], atol=1e-13)
    single = field.to(torch.float32)
    assert {t.dtype for t in single.warp.tensors().values()} == {torch.float32, torch.int64}
    assert torch.allclose(single.at(0.6).centers.double(), field.at(0.6).centers, atol=1e-5)
    assert set(warp.tensors()) == {"grid", "low", "high"} | {f"base.{name}" for name in warp.base.tensors()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": torch.zeros(3, 2, 2, 2, 3)}, r"grid: expected shape \[K, X, Y, Z, 3\], K >= 4, .*got shape \[3, 2"),
        ({"grid": torch.zeros(4, 2, 1, 2, 3)}, r"at least 2 nodes along each axis, got shape \[4, 2, 1, 2, 3\]"),
        ({"step": 0.0}, r"ResidualWarp times: .*a step > 0, in seconds, got start=0.2, step=0.0"),
        ({"start": float("nan")}, r"ResidualWarp times: expected a finite start"),
        ({"base": random_residual()}, "ResidualWarp.base: expected a warp that is no residual itself"),
    ],
)
def test_wrong_residuals_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(random_residual(), **changes)


def test_a_residual_of_another_type_or_for_other_points_is_refused():
    field = random_field(random_residual(random_bones()))
    single = dataclasses.replace(field.warp, grid=field.warp.grid.float())
    with pytest.raises(InputError, match=r"Field.warp: expected tensors of torch.float64"):
        dataclasses.replace(field, warp=single)
    with pytest.raises(InputError, match="a warp bound to 7 surfels, got one bound to 2"):
        dataclasses.replace(field, warp=field.warp.select(torch.arange(2)))
