"""Replacing and retargeting: a copy moves like the original, another shape like what it took the place of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recon4d.core import InputError, quaternion
from recon4d.editors.shapes import (
    align_shapes,
    neighbour_graph,
    normals_of,
    place,
    read_asset,
    replace_subject,
    retarget,
    similarity,
)
from recon4d.field import BonesWarp, Field, IdentityWarp, RigidWarp
from recon4d.synthetic import creature_field
from tests.editors.shapes.fields import field

TIMES = torch.linspace(0, 2, 9).tolist()
SIZE = 2.4  # of the built-in quadruped, about


@pytest.fixture(scope="module")
def fox() -> Field:
    return creature_field("quadruped", 6000, detail=0.4)


def _nearest(points: torch.Tensor, others: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    found = torch.cdist(points, others).min(1)
    return found.values, found.indices


@pytest.mark.parametrize("yaw", [0.0, 0.7, 2.6, -1.9])
def test_alignment_finds_size_facing_and_place(fox: Field, yaw: float) -> None:
    points = fox.canonical.centers.double()
    moved = similarity(0.3, (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)), (5.0, -3.0, 1.0))
    other = creature_field("quadruped", 5000, seed=1, detail=0.4).canonical.centers.double()
    found = align_shapes(moved.transform_points(other).numpy(), points.numpy())
    back = found.transform_points(moved.transform_points(points))
    assert (back - points).norm(dim=-1).max() < 0.01 * SIZE


def test_alignment_with_another_up_and_a_given_turn(fox: Field) -> None:
    points = fox.canonical.centers.double()
    lying = similarity(2.0, (np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0), (1.0, 2.0, 3.0))
    up = quaternion.rotate(lying.rotation_wxyz, torch.tensor([0.0, 0, 1], dtype=torch.float64))
    found = align_shapes(points.numpy(), lying.transform_points(points).numpy(), target_up=up.tolist())
    assert (found.transform_points(points) - lying.transform_points(points)).norm(dim=-1).max() < 0.01 * 2 * SIZE
    turned = align_shapes(points.numpy(), points.numpy(), yaw_degrees=180)
    assert (quaternion.to_matrix(turned.rotation_wxyz) - torch.diag(torch.tensor([-1.0, -1, 1]))).abs().max() < 1e-12


def test_a_copy_in_the_place_of_the_original_moves_like_it(fox: Field) -> None:
    copy = creature_field("quadruped", 5000, seed=3, detail=0.4)
    small = place(copy, similarity(0.1, (0.9, 0.0, 0.0, 0.4), (2.0, 0.0, 0.0)))
    still = replace(place(replace(copy, warp=IdentityWarp()), similarity(0.1, (0.9, 0.0, 0.0, 0.4), (2.0, 0, 0))))
    for asset in (still, replace(still, warp=small.warp)):
        new = replace_subject(fox, asset)
        assert torch.equal(new.ids, asset.ids)
        assert isinstance(new.warp, BonesWarp)
        assert new.warp.path is fox.warp.path
        torch.testing.assert_close(new.canonical.scales, copy.canonical.scales, rtol=0.02, atol=0)
        for t in TIMES:
            away = (new.at(t).centers - copy.at(t).centers).norm(dim=-1)
            assert away.mean() < 0.006 * SIZE
            assert away.max() < 0.05 * SIZE


def _stays_whole(new: Field) -> None:
    """Surfels keep their neighbours, and turn with the surface."""
    rest = new.canonical
    graph = neighbour_graph(rest.centers.double().numpy(), normals_of(rest))
    for t in TIMES:
        state = new.at(t)
        centers = state.centers.double().numpy()
        stretch = np.linalg.norm(centers[graph.first] - centers[graph.second], axis=-1) / graph.lengths
        assert np.quantile(stretch, 0.01) > 0.5
        assert np.quantile(stretch, 0.99) < 1.7
        normals = normals_of(state)
        edges = (centers[graph.second] - centers[graph.first]) / (graph.lengths * stretch)[:, None]
        before = rest.centers.double().numpy()
        flat = (before[graph.second] - before[graph.first]) / graph.lengths[:, None]
        rest_tilt = np.abs((flat * normals_of(rest)[graph.first]).sum(-1))
        tilt = np.abs((edges * normals[graph.first]).sum(-1))
        assert (tilt - rest_tilt).mean() < 0.08


@pytest.mark.parametrize("stretch", [False, True])
def test_the_sample_fox_walks_in_the_place_of_the_built_in_one(samples_dir: Path, fox: Field, stretch: bool) -> None:
    asset = read_asset(samples_dir / "assets" / "Fox.glb", surfels=6000)
    new = replace_subject(fox, asset.field, stretch=stretch)
    rest, old = new.canonical.centers, fox.canonical.centers
    # About as large, on the same ground, facing the same way: the nose ahead.
    assert 0.8 < np.ptp(rest[:, 0].numpy()) / np.ptp(old[:, 0].numpy()) < 1.2
    assert abs(float(rest[:, 2].quantile(0.01) - old[:, 2].quantile(0.01))) < 0.02 * SIZE
    dark = asset.field.canonical.sh[:, 0].sum(-1) < -2.9
    assert rest[dark, 2].mean() < rest[:, 2].mean() - 0.1 * SIZE  # black paws below
    head = read_asset(samples_dir / "assets" / "Fox.glb", surfels=6000).field.canonical.centers[:, 0].argmax()
    assert rest[head, 0] > rest[:, 0].quantile(0.98)
    # Each surfel moves like the one of the old subject that it lies on.
    distance, match = _nearest(rest, old)
    close = distance < 0.03 * SIZE
    assert close.float().mean() > 0.5
    there, here = (torch.stack([f.at(t).centers for t in TIMES]) for f in (fox, new))
    wanted, moved = (x - x[:1] for x in (there[:, match][:, close], here[:, close]))
    assert (moved - wanted).norm(dim=-1).mean() < 0.25 * wanted.norm(dim=-1).mean()
    _stays_whole(new)


# In a biped's place others do not: it rests with its arms spread, and what lies over an arm swings down with it.
@pytest.mark.parametrize(
    ("subject", "asset", "most"),
    [("quadruped", "fish", 1.5), ("quadruped", "biped", 2.0), ("fish", "quadruped", 1.1), ("fish", "biped", 1.1)],
)
def test_a_creature_stays_whole_in_the_place_of_another(subject: str, asset: str, most: float) -> None:
    old, other = (creature_field(name, 4000, detail=0.4) for name in (subject, asset))
    new = replace_subject(old, other)
    travelled = torch.stack([new.at(t).centers for t in TIMES])
    assert (travelled - travelled[:1]).norm(dim=-1).max() > 0.05
    rest = new.canonical
    graph = neighbour_graph(rest.centers.double().numpy(), normals_of(rest))
    for t in TIMES[::2]:
        centers = new.at(t).centers.double().numpy()
        stretch = np.linalg.norm(centers[graph.first] - centers[graph.second], axis=-1) / graph.lengths
        assert np.quantile(stretch, 0.98) < most


def test_things_that_move_rigidly_or_stand_still_are_replaced_too() -> None:
    rigid, still, asset = field("rigid"), field("identity"), field("bones")
    for old, kind in ((rigid, RigidWarp), (still, IdentityWarp)):
        new = replace_subject(old, asset, subject_from_asset=similarity(2.0))
        assert type(new.warp) is kind
        expected = old.warp.at_times(2 * asset.canonical.centers, torch.tensor([0.3], dtype=torch.float64))[0][0]
        torch.testing.assert_close(new.at(0.3).centers, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["bones", "rooted"])
def test_motion_retargeted_to_a_similar_copy_is_similar(kind: str) -> None:
    source, pose = field(kind), similarity(0.4, (0.9, 0.2, -0.1, 0.3), (1.0, 2.0, -1.0))
    copy = place(source, pose)
    # The copy's own canonical state, moved: another frame of the same shape.
    shape = replace(place(replace(source, warp=IdentityWarp()), pose), warp=copy.warp)
    bones = copy.warp
    assert isinstance(bones, BonesWarp)
    rest = replace(bones, rest_translations=pose.transform_points(source.warp.rest_translations))
    target = replace(shape, warp=replace(rest, path=replace(rest.path, translations=0 * rest.path.translations)))
    moved = retarget(source, target, source_from_target=pose.inverse())
    times = torch.linspace(0, 1.4, 7, dtype=torch.float64)
    expected = pose.transform_points(source.at_times(times).centers)
    torch.testing.assert_close(moved.at_times(times).centers, expected, rtol=0, atol=1e-10)
    turns = quaternion.multiply(pose.rotation_wxyz, source.at_times(times).rotations_wxyz)
    found = moved.at_times(times).rotations_wxyz
    torch.testing.assert_close(quaternion.to_matrix(found), quaternion.to_matrix(turns), rtol=0, atol=1e-10)
    assert moved.canonical is target.canonical


def test_motion_retargeted_from_one_walk_to_a_smaller_still_copy(fox: Field) -> None:
    small = similarity(0.5, (np.cos(0.4), 0.0, 0.0, np.sin(0.4)), (4.0, 1.0, 2.0))
    other = creature_field("quadruped", 4000, seed=9, detail=0.4)
    target = place(replace(other, warp=IdentityWarp()), small)
    moved = retarget(fox, target)
    for t in TIMES:
        away = (moved.at(t).centers - small.transform_points(other.at(t).centers.double()).float()).norm(dim=-1)
        assert away.mean() < 0.006 * 0.5 * SIZE


def test_a_mapping_of_bones_and_an_anchor_in_time() -> None:
    source, target = field("rooted"), field("bones")
    everything = {0: 2, 1: 2, 2: 2}
    moved = retarget(source, target, mapping=everything, source_from_target=similarity(), anchor=0.5)
    warp = moved.warp
    assert bool((warp.weight_indices[warp.weights > 0] == 2).all())
    # One bone for all is a rigid motion, so the anchor fits up to the bending of the target's own motion.
    from recon4d.core.rigid import align_similarity

    fit = align_similarity(moved.at(0.5).centers, target.at(0.5).centers, with_scale=False)
    assert (fit.transform_points(moved.at(0.5).centers) - moved.at(0.5).centers).abs().max() < 1e-6
    with pytest.raises(InputError, match="bones 0 to 2 of the target"):
        retarget(source, target, mapping={0: 3}, source_from_target=similarity())


def test_a_rigid_motion_is_retargeted_and_none_is_refused() -> None:
    source, pose = field("rigid"), similarity(0.5, (0.9, 0.1, 0.0, 0.2), (0.3, 0.1, 0.0))
    target = place(replace(field("identity")), pose)
    moved = retarget(source, target, source_from_target=pose.inverse())
    expected = pose.transform_points(source.at(0.8).centers)
    torch.testing.assert_close(moved.at(0.8).centers, expected, rtol=0, atol=1e-10)
    with pytest.raises(InputError, match="moved by bones or rigidly"):
        retarget(field("identity"), target)
    with pytest.raises(InputError, match="none for things without bones"):
        retarget(source, target, source_from_target=pose, mapping={0: 0})
    with pytest.raises(InputError, match="smoothing"):
        replace_subject(source, target, smoothing=2.0)
    with pytest.raises(InputError, match="3 finite points"):
        replace_subject(source, target.select(torch.tensor([0, 1])))
