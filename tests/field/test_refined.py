"""The refined branch: the same surfels with another turn and size, and nothing else."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from recon4d.core import InputError, quaternion
from recon4d.field import Refined
from tests.field.test_residual import random_residual
from tests.field.test_warps import DOUBLE, WARPS, random_bones, random_field

KINDS = {**WARPS, "residual": lambda: random_residual(random_bones())}


def random_refined(count=7, seed=4):
    generator = torch.Generator().manual_seed(seed)
    turns = torch.randn(count, 4, generator=generator, dtype=DOUBLE)
    return Refined(turns, torch.rand(count, 2, generator=generator, dtype=DOUBLE))


def refined_field(kind="linear"):
    return dataclasses.replace(random_field(KINDS[kind]()), refined=random_refined())


def matrices(rotations):
    return quaternion.to_matrix(rotations)


@pytest.mark.parametrize("kind", KINDS)
def test_the_extra_turn_is_on_the_right_and_scales_are_replaced(kind):
    field = refined_field(kind)
    times = [0.0, 0.6, 2.0]
    surface, looks = field.at_times(times), field.appearance_at_times(times)
    expected = matrices(surface.world_from_canonical_wxyz) @ matrices(field.canonical.rotations_wxyz)
    assert torch.allclose(matrices(surface.rotations_wxyz), expected, atol=1e-12)
    extra = matrices(field.refined.rotations_wxyz)
    assert torch.allclose(matrices(looks.rotations_wxyz), expected @ extra, atol=1e-12)
    assert looks.scales is field.refined.scales
    assert looks.rotations_wxyz.is_contiguous()
    for name in ("centers", "opacities", "sh", "world_from_canonical_wxyz"):
        assert torch.equal(getattr(looks, name), getattr(surface, name))
    alone = field.appearance_at(0.6)
    for name, tensor in alone.tensors().items():
        batched = getattr(looks, name)
        assert torch.allclose(tensor, batched[1] if batched.dim() > tensor.dim() else batched, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_geometry_does_not_know_the_refined_branch(kind):
    refined, plain = refined_field(kind), random_field(KINDS[kind]())
    for name, tensor in plain.at_times([0.1, 0.9]).tensors().items():
        assert torch.equal(getattr(refined.at_times([0.1, 0.9]), name), tensor)
    for name, tensor in plain.at(0.4).tensors().items():
        assert torch.equal(getattr(plain.appearance_at(0.4), name), tensor)


def test_a_branch_like_the_surfels_changes_nothing():
    field = refined_field()
    same = dataclasses.replace(field, refined=Refined.like(field.canonical))
    for name, tensor in field.at_times([0.0, 0.6]).tensors().items():
        assert torch.equal(getattr(same.appearance_at_times([0.0, 0.6]), name), tensor)
    # A copy: learning one branch must not move the other.
    assert same.refined.scales.data_ptr() != field.canonical.scales.data_ptr()


def test_selection_and_conversion_take_it_along():
    field = refined_field()
    rows, mask = torch.tensor([5, 0, 2]), field.ids % 2 == 0
    for chosen in (rows, mask):
        part, whole = field.select(chosen).appearance_at(0.6), field.appearance_at(0.6)
        for name, tensor in part.tensors().items():
            assert torch.allclose(tensor, getattr(whole, name)[chosen], atol=1e-13)
    assert len(field.select(mask).refined) == 4
    single = field.to(torch.float32)
    assert {t.dtype for t in single.refined.tensors().values()} == {torch.float32}
    looks, exact = single.appearance_at(0.6), field.appearance_at(0.6)
    assert torch.allclose(looks.rotations_wxyz.double(), exact.rotations_wxyz, atol=1e-5)


def test_gradients_reach_each_branch_through_its_own_state():
    field = random_field(random_bones())
    refined = random_refined()

    def run(turns, scales, rotations):
        learned = dataclasses.replace(
            field, canonical=field.canonical.replace(rotations_wxyz=rotations), refined=Refined(turns, scales)
        )
        looks, surface = learned.appearance_at(0.4), learned.at(0.4)
        return looks.rotations_wxyz, looks.scales, surface.rotations_wxyz

    inputs = [refined.rotations_wxyz, refined.scales, field.canonical.rotations_wxyz]
    inputs = [x.clone().requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    surface = run(*inputs)[2]
    assert torch.autograd.grad(surface.sum(), inputs, allow_unused=True)[:2] == (None, None)


def test_wrong_branches_are_refused():
    field, refined = refined_field(), random_refined()
    with pytest.raises(InputError, match=r"Field.refined: expected 7 rows of torch.float64 .*got 6 rows"):
        dataclasses.replace(field, refined=refined.select(torch.arange(6)))
    with pytest.raises(InputError, match=r"Field.refined: .*got 7 rows of torch.float32"):
        dataclasses.replace(field, refined=refined.to(torch.float32))
    short = refined.select(torch.arange(6))
    # Past the annotations, which the tests enforce and users do not.
    object.__setattr__(short, "rotations_wxyz", refined.rotations_wxyz)
    with pytest.raises(InputError, match=r"Refined.rotations_wxyz: expected shape \[6, 4\], .*got shape \[7, 4\]"):
        short.__post_init__()
