"""Warps against plain formulas written out for one point and one time."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import InputError, Surfels, quaternion, rigid
from recon4d.core.spline import SE3Spline
from recon4d.field import BonesWarp, Field, IdentityWarp, RigidWarp, blending

DOUBLE = torch.float64


def random_spline(generator, *batch, count=6, size=0.4, dtype=DOUBLE):
    turns = size * torch.randn(*batch, count, 3, generator=generator, dtype=dtype)
    moves = torch.randn(*batch, count, 3, generator=generator, dtype=dtype)
    return SE3Spline(quaternion.exp(turns), moves, 0.0, 0.5)


def random_bones(seed=0, bones=5, points=7, root=True, blend="linear", dtype=DOUBLE):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(points, 4, generator=generator, dtype=dtype)
    return BonesWarp(
        root=random_spline(generator, dtype=dtype) if root else None,
        rest_rotations_wxyz=torch.randn(bones, 4, generator=generator, dtype=dtype),
        rest_translations=torch.randn(bones, 3, generator=generator, dtype=dtype),
        path=random_spline(generator, bones, size=1.0, dtype=dtype),
        weight_indices=torch.rand(points, max(bones, 4), generator=generator).topk(4).indices % bones,
        weights=weights / weights.sum(-1, keepdim=True),
        blend=blend,
    )


def random_field(warp, points=7, seed=1, dtype=DOUBLE):
    generator = torch.Generator().manual_seed(seed)
    surfels = Surfels(
        centers=torch.randn(points, 3, generator=generator, dtype=dtype),
        rotations_wxyz=torch.randn(points, 4, generator=generator, dtype=dtype),
        scales=torch.rand(points, 2, generator=generator, dtype=dtype),
        opacities=torch.rand(points, generator=generator, dtype=dtype),
        sh=torch.randn(points, 4, 3, generator=generator, dtype=dtype),
    )
    return Field(surfels, torch.arange(100, 100 + points), warp)


def bone_matrices(warp, time):
    """[B, 4, 4] root(t) pose_b(t) rest_b^-1, by matrices."""
    moment = torch.tensor([time], dtype=DOUBLE)
    pose = rigid.from_rotation_translation(*(x[:, 0] for x in warp.path.at(moment)))
    rest = rigid.from_rotation_translation(quaternion.normalize(warp.rest_rotations_wxyz), warp.rest_translations)
    matrices = pose @ torch.linalg.inv(rest)
    if warp.root is not None:
        matrices = rigid.from_rotation_translation(*(x[0] for x in warp.root.at(moment))) @ matrices
    return matrices


def same_rotation(a, b, tolerance=1e-9):
    return bool(((a * b).sum(-1).abs() > 1 - tolerance).all())


@pytest.mark.parametrize("dense_bones", [0, 96])
@pytest.mark.parametrize("root", [False, True])
def test_linear_blending_is_the_weighted_mean_of_where_bones_take_a_point(root, dense_bones, monkeypatch):
    monkeypatch.setattr(blending, "DENSE_BONES", dense_bones)
    warp = random_bones(root=root)
    centers = torch.randn(7, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))
    times = torch.tensor([0.0, 0.3, 1.1], dtype=DOUBLE)
    positions, rotations = warp.at_times(centers, times)
    for t, time in enumerate(times.tolist()):
        matrices = bone_matrices(warp, time)
        for n in range(7):
            expected = torch.zeros(3, dtype=DOUBLE)
            strongest = quaternion.from_matrix(matrices[warp.weight_indices[n, warp.weights[n].argmax()], :3, :3])
            turn = torch.zeros(4, dtype=DOUBLE)
            for slot in range(4):
                matrix, weight = matrices[warp.weight_indices[n, slot]], warp.weights[n, slot]
                expected += weight * (matrix[:3, :3] @ centers[n] + matrix[:3, 3])
                q = quaternion.from_matrix(matrix[:3, :3])
                turn += weight * (q if q @ strongest >= 0 else -q)
            assert torch.allclose(positions[t, n], expected, atol=1e-12)
            assert same_rotation(rotations[t, n], turn / turn.norm())
    assert torch.allclose(rotations.norm(dim=-1), torch.ones(3, 7, dtype=DOUBLE), atol=1e-12)


@pytest.mark.parametrize("dense_bones", [0, 96])
def test_dual_quaternions_move_points_rigidly(dense_bones, monkeypatch):
    monkeypatch.setattr(blending, "DENSE_BONES", dense_bones)
    warp = random_bones(blend="dual_quaternion")
    moment = torch.tensor([0.4], dtype=DOUBLE)
    # The same binding for all points: one rigid motion, so distances stay; blended matrices would shrink them.
    bound = dataclasses.replace(
        warp, weight_indices=warp.weight_indices[:1].expand(7, 4), weights=warp.weights[:1].expand(7, 4)
    )
    centers = torch.randn(7, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))
    moved, turned = bound.at_times(centers, moment)
    assert torch.allclose(torch.cdist(moved[0], moved[0]), torch.cdist(centers, centers), atol=1e-12)
    shifts = moved[0] - quaternion.rotate(turned[0], centers)
    assert torch.allclose(shifts, shifts[:1].expand(7, 3), atol=1e-12)
    linear, _ = dataclasses.replace(bound, blend="linear").at_times(centers, moment)
    assert not torch.allclose(torch.cdist(linear[0], linear[0]), torch.cdist(centers, centers), atol=1e-3)


def test_dual_quaternion_halfway_between_two_turns_about_one_axis_is_the_mean_turn():
    turns = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.2]], dtype=DOUBLE)
    path = SE3Spline.constant(quaternion.exp(turns), torch.zeros(2, 3, dtype=DOUBLE))
    warp = BonesWarp(
        root=None,
        rest_rotations_wxyz=torch.tensor([[1.0, 0, 0, 0]] * 2, dtype=DOUBLE),
        rest_translations=torch.zeros(2, 3, dtype=DOUBLE),
        path=path,
        weight_indices=torch.tensor([[0, 1, 0, 0]]),
        weights=torch.tensor([[0.5, 0.5, 0.0, 0.0]], dtype=DOUBLE),
        blend="dual_quaternion",
    )
    point = torch.tensor([[1.0, 0.0, 0.0]], dtype=DOUBLE)
    moved, _ = warp.at_times(point, torch.tensor([0.0], dtype=DOUBLE))
    assert moved[0, 0].tolist() == pytest.approx([math.cos(0.6), math.sin(0.6), 0.0], abs=1e-12)


@pytest.mark.parametrize("blend", ["linear", "dual_quaternion"])
@given(seed=st.integers(0, 10_000), flips=st.lists(st.booleans(), min_size=5, max_size=5))
@settings(deadline=None, max_examples=25)
def test_signs_of_the_bones_quaternions_do_not_matter(blend, seed, flips):
    warp = random_bones(seed, blend=blend)
    signs = torch.tensor([-1.0 if flip else 1.0 for flip in flips], dtype=DOUBLE)
    # Turning the whole control polygon of a bone over leaves its motion as it is.
    path = dataclasses.replace(warp.path, rotations_wxyz=warp.path.rotations_wxyz * signs[:, None, None])
    flipped = dataclasses.replace(warp, path=path)
    centers = torch.randn(7, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
    times = torch.tensor([0.2, 0.9], dtype=DOUBLE)
    (a, turn_a), (b, turn_b) = warp.at_times(centers, times), flipped.at_times(centers, times)
    assert torch.allclose(a, b, atol=1e-10)
    assert same_rotation(turn_a, turn_b)


@pytest.mark.parametrize("blend", ["linear", "dual_quaternion"])
def test_bones_in_rest_under_a_moving_root_are_a_rigid_warp(blend):
    generator = torch.Generator().manual_seed(5)
    warp = random_bones(blend=blend)
    rest = SE3Spline.constant(quaternion.normalize(warp.rest_rotations_wxyz), warp.rest_translations)
    root = random_spline(generator)
    bones = random_field(dataclasses.replace(warp, path=rest, root=root))
    rigidly = random_field(RigidWarp(root))
    times = torch.linspace(-0.5, 3.0, 9, dtype=DOUBLE)
    a, b = bones.at_times(times), rigidly.at_times(times)
    assert torch.allclose(a.centers, b.centers, atol=1e-10)
    assert same_rotation(a.world_from_canonical_wxyz, b.world_from_canonical_wxyz)


def test_rigid_warp_is_its_path():
    path = random_spline(torch.Generator().manual_seed(2))
    field = random_field(RigidWarp(path))
    state = field.at(0.7)
    rotations, translations = path.at(torch.tensor([0.7], dtype=DOUBLE))
    expected = field.canonical.centers @ quaternion.to_matrix(rotations[0]).T + translations[0]
    assert torch.allclose(state.centers, expected, atol=1e-12)
    assert torch.allclose(
        quaternion.to_matrix(state.rotations_wxyz),
        quaternion.to_matrix(rotations[0]) @ quaternion.to_matrix(field.canonical.rotations_wxyz),
        atol=1e-12,
    )


def test_identity_leaves_everything_and_still_fills_in_the_rotation():
    field = random_field(IdentityWarp())
    state = field.at(3.0)
    assert torch.equal(state.centers, field.canonical.centers)
    assert torch.equal(state.rotations_wxyz, field.canonical.rotations_wxyz)
    assert torch.equal(state.world_from_canonical_wxyz, torch.tensor([[1.0, 0, 0, 0]] * 7, dtype=DOUBLE))


WARPS = {
    "identity": IdentityWarp,
    "rigid": lambda: RigidWarp(random_spline(torch.Generator().manual_seed(2))),
    "linear": random_bones,
    "dual": lambda: random_bones(blend="dual_quaternion"),
}


@pytest.mark.parametrize("kind", WARPS)
def test_many_times_at_once_are_each_time_on_its_own(kind):
    field = random_field(WARPS[kind]())
    times = [0.0, 0.25, 1.5, 9.0]
    together = field.at_times(times)
    assert together.centers.shape == (4, 7, 3)
    for name in ("scales", "opacities", "sh"):
        assert getattr(together, name) is getattr(field.canonical, name)
    for name in ("centers", "rotations_wxyz", "world_from_canonical_wxyz"):
        batched = getattr(together, name)
        assert batched.is_contiguous()
        for t, time in enumerate(times):
            assert torch.allclose(batched[t], getattr(field.at(time), name), atol=1e-13)


@pytest.mark.parametrize("kind", WARPS)
def test_selected_rows_move_as_before(kind):
    field = random_field(WARPS[kind]())
    rows = torch.tensor([5, 0, 2])
    chosen, all_at = field.select(rows), field.at(0.6)
    assert chosen.ids.tolist() == [105, 100, 102]
    for name, tensor in chosen.at(0.6).tensors().items():
        assert torch.allclose(tensor, getattr(all_at, name)[rows], atol=1e-13)
    mask = field.ids % 2 == 0
    assert field.select(mask).ids.tolist() == [100, 102, 104, 106]
    assert len(field.select(mask)) == 4


@pytest.mark.parametrize("kind", WARPS)
def test_conversion_to_float32(kind):
    field = random_field(WARPS[kind]())
    single = field.to(torch.float32)
    assert single.ids.dtype == torch.int64
    state = single.at(0.6)
    assert {tensor.dtype for tensor in state.tensors().values()} == {torch.float32}
    assert torch.allclose(state.centers.double(), field.at(0.6).centers, atol=1e-5)


@pytest.mark.parametrize("dense_bones", [0, 96])
@pytest.mark.parametrize("blend", ["linear", "dual_quaternion"])
def test_gradients_of_bones(blend, dense_bones, monkeypatch):
    monkeypatch.setattr(blending, "DENSE_BONES", dense_bones)
    warp = random_bones(blend=blend, bones=3, points=2)
    times = torch.tensor([0.1, 0.8], dtype=DOUBLE)

    def run(centers, weights, rest_q, rest_t, path_q, path_t, root_q, root_t):
        moved = dataclasses.replace(
            warp,
            weights=weights,
            rest_rotations_wxyz=rest_q,
            rest_translations=rest_t,
            path=dataclasses.replace(warp.path, rotations_wxyz=path_q, translations=path_t),
            root=dataclasses.replace(warp.root, rotations_wxyz=root_q, translations=root_t),
        )
        return moved.at_times(centers, times)

    inputs = (
        torch.randn(2, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)),
        warp.weights,
        warp.rest_rotations_wxyz,
        warp.rest_translations,
        warp.path.rotations_wxyz,
        warp.path.translations,
        warp.root.rotations_wxyz,
        warp.root.translations,
    )
    assert torch.autograd.gradcheck(run, [x.clone().requires_grad_() for x in inputs], fast_mode=True)


def test_both_ways_of_summing_agree_in_float32():
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(3, 50, 4, generator=generator)
    indices = torch.randint(0, 20, (50, 4), generator=generator)  # the same bone twice in a point, too
    table = torch.randn(3, 20, 12, generator=generator)
    dense = blending.weighted_sum(weights, indices, table)
    gathered = (weights[..., None] * table[:, indices]).sum(-2)
    assert torch.allclose(dense, gathered, atol=1e-6)


def test_wrong_fields_are_refused():
    field = random_field(random_bones())
    with pytest.raises(InputError, match=r"Field.ids: expected int64 \[7\]"):
        Field(field.canonical, torch.arange(6), field.warp)
    with pytest.raises(InputError, match="a warp bound to 7 surfels, got one bound to 6"):
        Field(field.canonical, field.ids, field.warp.select(torch.arange(6)))
    with pytest.raises(InputError, match=r"Field.warp: expected tensors of torch.float64"):
        Field(field.canonical, field.ids, field.warp.to(torch.float32))
    with pytest.raises(InputError, match="leave the moving to the warp"):
        Field(field.at(0.0), field.ids, field.warp)
    with pytest.raises(InputError, match="leave the moving to the warp"):
        Field(field.at_times([0.0, 1.0]), field.ids, field.warp)
    # Past the annotations, which the tests enforce and users do not.
    object.__setattr__(field.warp, "blend", "cubic")
    with pytest.raises(InputError, match="blend: expected linear or dual_quaternion"):
        field.warp.__post_init__()


def test_wrong_bones_are_refused():
    warp = random_bones()
    with pytest.raises(InputError, match=r"BonesWarp.path.rotations_wxyz: expected shape \[5, 6, 4\]"):
        dataclasses.replace(warp, path=random_spline(torch.Generator().manual_seed(0), 4))
    with pytest.raises(InputError, match="at least one bone"):
        dataclasses.replace(
            warp,
            rest_rotations_wxyz=torch.zeros(0, 4),
            rest_translations=torch.zeros(0, 3),
            path=SE3Spline(torch.zeros(0, 4, 4), torch.zeros(0, 4, 3), 0.0, 1.0),
        )
