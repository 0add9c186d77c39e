"""Similarity alignment: recovers a known transform, is optimal under noise, refuses what determines no rotation."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recon4d.core import InputError, Similarity, quaternion, rigid

EXAMPLES = settings(deadline=None, max_examples=60)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@st.composite
def similarities(draw: st.DrawFn) -> Similarity:
    number = st.floats(-3, 3, width=32)
    vectors = st.tuples(number, number, number).map(lambda v: torch.tensor(v, dtype=torch.float64))
    scale = torch.tensor(10 ** draw(st.floats(-2, 2)), dtype=torch.float64)
    return Similarity(scale, quaternion.exp(draw(vectors)), draw(vectors))


def assert_same(a: Similarity, b: Similarity, tolerance: float) -> None:
    torch.testing.assert_close(a.matrix(), b.matrix(), rtol=tolerance, atol=tolerance * float(b.scale.max()))


@EXAMPLES
@given(similarities(), st.integers(3, 8), st.integers(0, 1000))
def test_recovers_a_known_similarity(truth: Similarity, count: int, seed: int):
    source = randn(count, 3, seed=seed)
    found = rigid.align_similarity(source, truth.transform_points(source))
    # A random triangle may be thin; the rotation about its long side is then known less well.
    assert_same(found, truth, 1e-11)


@EXAMPLES
@given(similarities(), st.integers(0, 1000))
def test_recovers_from_points_in_a_plane_and_from_mirrored_halves(truth: Similarity, seed: int):
    flat = randn(6, 3, seed=seed) * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    assert_same(rigid.align_similarity(flat, truth.transform_points(flat)), truth, 1e-11)
    cube = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    assert_same(rigid.align_similarity(cube, truth.transform_points(cube)), truth, 1e-12)


@EXAMPLES
@given(similarities())
def test_inverse_and_matrix(truth: Similarity):
    points = randn(5, 3)
    moved = truth.transform_points(points)
    torch.testing.assert_close(truth.inverse().transform_points(moved), points, rtol=0, atol=1e-12)
    homogeneous = torch.cat([points, torch.ones(5, 1, dtype=torch.float64)], -1)
    torch.testing.assert_close((homogeneous @ truth.matrix().T)[:, :3], moved, rtol=1e-14, atol=1e-13)
    assert truth.matrix()[3].tolist() == [0, 0, 0, 1]


def test_is_the_least_squares_optimum():
    """No small change of the result lowers the weighted squared error of noisy points."""
    source, target, weights = randn(9, 3, seed=1), randn(9, 3, seed=2), torch.rand(9, dtype=torch.float64)
    best = rigid.align_similarity(source, target, weights)

    def error(log_scale: Tensor, turn: Tensor, shift: Tensor) -> Tensor:
        rotation_wxyz = quaternion.multiply(quaternion.exp(turn), best.rotation_wxyz)
        changed = Similarity(best.scale * log_scale.exp(), rotation_wxyz, best.translation + shift)
        return (weights[:, None] * (changed.transform_points(source) - target).square()).sum()

    still = [torch.zeros(shape, dtype=torch.float64) for shape in ((), (3,), (3,))]
    gradient = torch.autograd.functional.jacobian(error, tuple(still))
    for part in gradient:
        assert part.abs().max().item() < 1e-14
    blocks = torch.autograd.functional.hessian(error, tuple(still))
    hessian = torch.cat(
        [torch.cat([b.reshape(-1, n) for b, n in zip(row, (1, 3, 3), strict=True)], 1) for row in blocks]
    )
    assert torch.linalg.eigvalsh(hessian).min().item() > 0


def test_never_reflects():
    source = randn(20, 3)
    target = source * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    found = rigid.align_similarity(source, target)
    assert torch.linalg.det(quaternion.to_matrix(found.rotation_wxyz)).item() == pytest.approx(1, abs=1e-14)
    assert found.scale.item() > 0


def test_without_scale_the_scale_stays_one_and_the_rotation_is_the_same():
    truth = Similarity(torch.tensor(2.5, dtype=torch.float64), quaternion.exp(randn(3)), randn(3, seed=5))
    source = randn(7, 3, seed=6)
    found = rigid.align_similarity(source, truth.transform_points(source), with_scale=False)
    assert found.scale.item() == 1
    torch.testing.assert_close(found.rotation_wxyz, truth.rotation_wxyz, rtol=0, atol=1e-14)
    center = source.mean(0)
    torch.testing.assert_close(found.transform_points(center), truth.transform_points(center), rtol=0, atol=1e-14)


def test_points_without_weight_have_no_say():
    truth = Similarity(torch.tensor(0.5, dtype=torch.float64), quaternion.exp(randn(3)), randn(3, seed=5))
    source = randn(7, 3, seed=6)
    target = truth.transform_points(source)
    target[3:5] += 100
    weights = torch.tensor([1.0, 2, 1, 0, 0, 3, 1], dtype=torch.float64)
    assert_same(rigid.align_similarity(source, target, weights), truth, 1e-12)


def test_weights_count_like_repeated_points():
    source, target = randn(5, 3, seed=1), randn(5, 3, seed=2)
    counts = torch.tensor([1, 3, 2, 1, 2])
    repeated = rigid.align_similarity(source.repeat_interleave(counts, 0), target.repeat_interleave(counts, 0))
    assert_same(rigid.align_similarity(source, target, counts.double()), repeated, 1e-12)


def test_batches_are_aligned_one_by_one():
    source, target = randn(2, 3, 6, 3, seed=1), randn(2, 3, 6, 3, seed=2)
    together = rigid.align_similarity(source, target)
    assert together.scale.shape == (2, 3)
    alone = rigid.align_similarity(source[1, 2], target[1, 2])
    torch.testing.assert_close(together.matrix()[1, 2], alone.matrix(), rtol=0, atol=1e-13)


def test_float32_in_float32_out_with_a_far_origin():
    truth = Similarity(torch.tensor(2.0), torch.tensor([0.8, 0.6, 0.0, 0.0]), torch.tensor([5.0, 0.0, -3.0]))
    source = randn(50, 3).float() + 1000
    found = rigid.align_similarity(source, truth.transform_points(source))
    assert found.scale.dtype == found.rotation_wxyz.dtype == found.translation.dtype == torch.float32
    assert found.scale.item() == pytest.approx(2, rel=1e-4)
    torch.testing.assert_close(found.rotation_wxyz, truth.rotation_wxyz, rtol=0, atol=1e-4)


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("with_scale", [True, False])
def test_gradients(noise: float, with_scale: bool):
    """Also on a cube, whose equal singular values break the gradient of a decomposition."""
    cube = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    target = 2 * cube + noise * randn(8, 3)
    weights = torch.linspace(1, 2, 8, dtype=torch.float64) if noise else torch.ones(8, dtype=torch.float64)

    def align(x: Tensor, y: Tensor, w: Tensor) -> tuple[Tensor, ...]:
        found = rigid.align_similarity(x, y, w, with_scale)
        return found.scale, found.rotation_wxyz, found.translation

    assert torch.autograd.gradcheck(align, tuple(a.clone().requires_grad_() for a in (cube, target, weights)))


LINE = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None] * torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
OCTAHEDRON = torch.cat([torch.eye(3, dtype=torch.float64), -torch.eye(3, dtype=torch.float64)])


@pytest.mark.parametrize(
    "source", [LINE, LINE + 100, (LINE + 100).float(), torch.zeros(4, 3), torch.full((4, 3), 0.1)], ids=str
)
def test_points_on_a_line_or_in_one_place_are_refused(source: Tensor):
    rotation = quaternion.exp(torch.tensor([0.3, -0.5, 0.8], dtype=source.dtype))
    for target in (source, 3 * quaternion.rotate(rotation, source) + 7):
        with pytest.raises(InputError, match="points on one line or at one place"):
            rigid.align_similarity(source, target)


def test_two_points_with_weight_are_refused():
    weights = torch.tensor([1.0, 1, 0, 0], dtype=torch.float64)
    with pytest.raises(InputError, match="points on one line"):
        rigid.align_similarity(randn(4, 3), randn(4, 3), weights)


def test_a_target_in_one_place_is_refused():
    with pytest.raises(InputError, match="points on one line or at one place"):
        rigid.align_similarity(randn(4, 3), torch.ones(4, 3, dtype=torch.float64))


def test_an_ambiguous_mirror_image_is_refused_and_named_by_its_batch_index():
    with pytest.raises(InputError, match="mirrored points that fit several ways"):
        rigid.align_similarity(OCTAHEDRON, -OCTAHEDRON)
    source = torch.stack([OCTAHEDRON, OCTAHEDRON])
    with pytest.raises(InputError, match=r"several ways \(batch index \[1\]\)"):
        rigid.align_similarity(source, torch.stack([OCTAHEDRON, -OCTAHEDRON]))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_values_that_are_not_finite_are_refused(which: int, bad: float):
    arrays = [randn(5, 3, seed=1), randn(5, 3, seed=2), torch.ones(5, dtype=torch.float64)]
    arrays[which][4] = bad
    name = ("source", "target", "weights")[which]
    with pytest.raises(InputError, match=f"align_similarity: {name}: expected finite numbers.* first at index"):
        rigid.align_similarity(*arrays)


def test_negative_and_zero_weights_are_refused():
    weights = torch.tensor([1.0, 1, 1, -1, 1], dtype=torch.float64)
    with pytest.raises(InputError, match=r"1 that are not, the first at index \[3\]"):
        rigid.align_similarity(randn(5, 3), randn(5, 3), weights)
    with pytest.raises(InputError, match="a sum > 0"):
        rigid.align_similarity(randn(5, 3), randn(5, 3), 0 * weights)
