"""Handles: what is held goes where it is taken, the rest follows as rigidly as it can, nothing tears."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recon4d.core import InputError, quaternion
from recon4d.editors.shapes import (
    Deformer,
    Handle,
    deform_field,
    neighbour_graph,
    normals_of,
    place,
    proxy_mesh,
    similarity,
)
from recon4d.field import Field
from recon4d.synthetic import creature_field


@pytest.fixture(scope="module")
def fox() -> Field:
    return creature_field("quadruped", 6000, detail=0.4)


@pytest.fixture(scope="module")
def deformer(fox: Field) -> Deformer:
    return Deformer(fox, max_vertices=1500)


@pytest.fixture(scope="module")
def nose(fox: Field) -> tuple[float, float, float]:
    centers = fox.canonical.centers
    return tuple(centers[centers[:, 0].argmax()].tolist())


@pytest.fixture(scope="module")
def tail(fox: Field) -> tuple[float, float, float]:
    centers = fox.canonical.centers
    return tuple(centers[centers[:, 0].argmin()].tolist())


def _near(field: Field, place: tuple[float, float, float], radius: float) -> torch.Tensor:
    return (field.canonical.centers - torch.tensor(place)).norm(dim=-1) < radius


def test_the_proxy_is_closed_light_and_near(deformer: Deformer, fox: Field) -> None:
    mesh = deformer.mesh
    assert 800 < len(mesh.vertices) <= 1500
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    forward, backward = ({tuple(e) for e in order} for order in (edges, edges[:, ::-1]))
    assert forward == backward
    assert len(forward) == len(edges)
    size = float(np.ptp(mesh.vertices, axis=0).max())
    assert np.linalg.norm(deformer.binding.offsets, axis=-1).max() < 0.03 * size
    assert set(mesh.parts()) == {0}
    # Outward: the surfels of a creature face outwards too.
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    assert (a * np.cross(b, c)).sum() > 0


def test_floaters_do_not_count(fox: Field) -> None:
    centers = fox.canonical.centers.clone()
    centers[:3] = torch.tensor([0.0, 0, 50.0])
    mesh = proxy_mesh(fox.canonical.replace(centers=centers), max_vertices=1500)
    assert mesh.vertices[:, 2].max() < 2


def test_pins_alone_change_nothing(deformer: Deformer, fox: Field, nose: tuple, tail: tuple) -> None:
    for handles in ([], [Handle(nose, 0.1), Handle(tail, 0.1)]):
        after = deformer.deform(handles)
        for name, tensor in fox.canonical.tensors().items():
            assert torch.equal(after.canonical.tensors()[name], tensor)


def test_one_handle_alone_takes_everything_along(deformer: Deformer, fox: Field, nose: tuple) -> None:
    turn = (0.8, 0.0, 0.6, 0.0)
    handle = Handle(nose, 0.15, translation=(0.1, 0.2, 0.3), rotation_wxyz=turn)
    after = deformer.deform([handle])
    expected = torch.from_numpy(handle.taken(fox.canonical.centers.double().numpy()))
    assert (after.canonical.centers - expected).abs().max() < 2e-5
    frames = quaternion.multiply(torch.tensor(turn), fox.canonical.rotations_wxyz)
    apart = quaternion.to_matrix(after.canonical.rotations_wxyz) - quaternion.to_matrix(frames)
    assert apart.abs().max() < 1e-3
    torch.testing.assert_close(after.canonical.scales, fox.canonical.scales, rtol=1e-3, atol=0)


def test_held_surfels_go_along_and_pinned_ones_stay_to_the_bit(
    deformer: Deformer, fox: Field, nose: tuple, tail: tuple
) -> None:
    lift = Handle(nose, 0.22, translation=(0.0, 0.0, 0.25))
    after = deformer.deform([lift, Handle(tail, 0.3), Handle((0.0, 0.0, 0.4), 0.3)])
    moved = after.canonical.centers - fox.canonical.centers
    held = _near(fox, nose, 0.1)
    assert held.sum() > 30
    # Not to rounding: a Jacobian blends those of free vertices nearby.
    assert (moved[held] - torch.tensor([0, 0, 0.25])).abs().max() < 1e-4
    pinned = _near(fox, tail, 0.2)
    assert pinned.sum() > 50
    assert torch.equal(after.canonical.centers[pinned], fox.canonical.centers[pinned])
    assert after.warp is fox.warp
    assert torch.equal(after.ids, fox.ids)
    # In between it bends: heights change steadily, and no surfel leaves its neighbours.
    graph = neighbour_graph(fox.canonical.centers.double().numpy(), normals_of(fox.canonical))
    places = after.canonical.centers.double().numpy()
    stretch = np.linalg.norm(places[graph.first] - places[graph.second], axis=-1) / graph.lengths
    assert np.quantile(stretch, 0.001) > 0.4
    assert np.quantile(stretch, 0.999) < 1.8
    assert 0.97 < stretch.mean() < 1.03


def test_sizes_follow_the_stretch(deformer: Deformer, fox: Field, nose: tuple, tail: tuple) -> None:
    grown = deformer.deform([Handle(nose, 0.25, scale=1.5), Handle(tail, 0.4), Handle((0.0, 0.0, 0.3), 0.4)])
    held = _near(fox, nose, 0.12)
    ratio = grown.canonical.scales[held] / fox.canonical.scales[held]
    assert held.sum() > 50
    assert (ratio - 1.5).abs().max() < 0.02
    middle = torch.tensor(nose)
    away = (grown.canonical.centers[held] - middle) - 1.5 * (fox.canonical.centers[held] - middle)
    assert away.norm(dim=-1).max() < 2e-3


def test_only_the_selected_and_only_within_reach(fox: Field, nose: tuple) -> None:
    selected = fox.canonical.centers[:, 0] > 0.3
    lift = Handle(nose, 0.15, translation=(0.0, 0.0, 0.2))
    after = deform_field(fox, [lift], selected=selected, max_vertices=1500)
    same = (after.canonical.centers == fox.canonical.centers).all(-1)
    assert bool(same[~selected].all())
    assert not bool(same[_near(fox, nose, 0.1)].any())
    after = deform_field(fox, [lift], reach=0.3, max_vertices=1500)
    same = (after.canonical.centers == fox.canonical.centers).all(-1)
    assert bool(same[~_near(fox, nose, 0.55)].all())
    assert not bool(same[_near(fox, nose, 0.1)].any())


def test_the_way_of_a_drag_does_not_matter(deformer: Deformer, fox: Field, nose: tuple, tail: tuple) -> None:
    def pose(height: float) -> Field:
        return deformer.deform([Handle(nose, 0.15, translation=(0.0, 0.0, height)), Handle(tail, 0.2)])

    direct = deform_field(fox, [Handle(nose, 0.15, translation=(0.0, 0.0, 0.2)), Handle(tail, 0.2)], max_vertices=1500)
    for height in (0.3, -0.1, 0.2):
        dragged = pose(height)
    assert torch.equal(dragged.canonical.centers, direct.canonical.centers)
    assert torch.equal(dragged.canonical.rotations_wxyz, direct.canonical.rotations_wxyz)


def test_a_kept_proxy_serves_other_surfels_at_the_same_places(fox: Field, nose: tuple) -> None:
    handles = [Handle(nose, 0.15, translation=(0.0, 0.0, 0.2))]
    plain = deform_field(fox, handles, reach=0.4, max_vertices=1500)
    painted = replace(fox, canonical=fox.canonical.replace(sh=fox.canonical.sh + 0.5, scales=2 * fox.canonical.scales))
    after = deform_field(painted, handles, reach=0.4, max_vertices=1500)
    assert torch.equal(after.canonical.centers, plain.canonical.centers)
    torch.testing.assert_close(after.canonical.scales, 2 * plain.canonical.scales)
    assert torch.equal(after.canonical.sh, painted.canonical.sh)
    assert Deformer(fox, max_vertices=1500).surface is Deformer(painted, max_vertices=1500).surface
    half = fox.canonical.centers[:, 0] > 0
    assert Deformer(fox, max_vertices=1500, selected=half).surface is not Deformer(fox, max_vertices=1500).surface


def test_two_separate_parts_and_a_handle_on_one(fox: Field, nose: tuple) -> None:
    aside = place(fox, similarity(1.0, translation=(0.0, 3.0, 0.0)))
    pair = Field(
        type(fox.canonical)(
            **{
                name: torch.cat([tensor, tensor + torch.tensor([0.0, 3.0, 0.0]) if name == "centers" else tensor])
                for name, tensor in fox.canonical.tensors().items()
            }
        ),
        torch.arange(2 * len(fox)),
        type(aside.warp)(
            fox.warp.root,
            fox.warp.rest_rotations_wxyz,
            fox.warp.rest_translations,
            fox.warp.path,
            fox.warp.weight_indices.repeat(2, 1),
            fox.warp.weights.repeat(2, 1),
        ),
    )
    after = deform_field(pair, [Handle(nose, 0.15, translation=(0.0, 0.0, 0.3))], max_vertices=2500)
    second = slice(len(fox), None)
    assert torch.equal(after.canonical.centers[second], pair.canonical.centers[second])
    assert (after.canonical.centers[: len(fox), 2] - fox.canonical.centers[:, 2] - 0.3).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (lambda: Handle((0.0, 0.0, float("nan")), 0.1), "finite center"),
        (lambda: Handle((0.0, 0.0, 0.0), 0.0), "radius > 0"),
        (lambda: Handle((0.0, 0.0, 0.0), 0.1, scale=-1.0), "scale > 0"),
    ],
)
def test_handles_without_sense_are_refused(wrong, match: str) -> None:
    with pytest.raises(InputError, match=match):
        wrong()


def test_nothing_to_deform_is_refused(fox: Field, deformer: Deformer, nose: tuple) -> None:
    with pytest.raises(InputError, match="not transparent"):
        Deformer(fox.select(torch.zeros(len(fox), dtype=torch.bool)))
    with pytest.raises(InputError, match="select what may move"):
        Deformer(fox, selected=torch.zeros(len(fox), dtype=torch.bool), max_vertices=1500)
    with pytest.raises(InputError, match="reach"):
        deformer.deform([Handle(nose, 0.1, scale=2.0)], reach=-1.0)
