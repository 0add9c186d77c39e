"""Scaling a part: its size ratio at all times, what stays, what joins."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import InputError
from recon4d.editors.shapes import joint_of, neighbour_graph, normals_of, scale_region
from recon4d.field import Field
from recon4d.synthetic import creature, creature_field
from tests.editors.shapes.fields import KINDS, field

TIMES = torch.linspace(0, 2, 17).tolist()


@pytest.fixture(scope="module")
def fox() -> Field:
    return creature_field("quadruped", 8000, detail=0.5)


def _part(fox: Field, *bones: str) -> torch.Tensor:
    """Surfels that follow some bones most."""
    rig = creature("quadruped", 0.5).rig
    assert rig is not None
    wanted = torch.tensor([rig.skeleton.index(bone) for bone in bones])
    strongest = fox.warp.weight_indices.gather(1, fox.warp.weights.argmax(1, keepdim=True))[:, 0]
    return torch.isin(strongest, wanted)


def _size(centers: torch.Tensor) -> float:
    return float((centers - centers.mean(0)).square().sum(-1).mean().sqrt())


@pytest.mark.parametrize(
    ("bones", "factor"), [(("ear_left",), 2.0), (("head", "ear_left", "ear_right"), 1.5), (("tail_2", "tail_3"), 0.6)]
)
def test_a_scaled_part_keeps_its_ratio_at_all_times(fox: Field, bones: tuple[str, ...], factor: float) -> None:
    part = _part(fox, *bones)
    assert 100 < part.sum() < 4000
    after = scale_region(fox, part, factor, falloff=0.0)
    ratios = [_size(after.at(t).centers[part]) / _size(fox.at(t).centers[part]) for t in TIMES]
    assert ratios == pytest.approx([factor] * len(TIMES), rel=0.02)
    # With a soft border the part as a whole grows a little less, but by the same at every time.
    soft = scale_region(fox, part, factor)
    ratios = [_size(soft.at(t).centers[part]) / _size(fox.at(t).centers[part]) for t in TIMES]
    assert ratios == pytest.approx([float(np.mean(ratios))] * len(TIMES), rel=0.02)
    assert abs(np.mean(ratios) - factor) < 0.1 * factor


def test_the_others_stay_to_the_bit_and_nothing_tears(fox: Field) -> None:
    part = _part(fox, "head", "ear_left", "ear_right")
    after = scale_region(fox, part, 1.6)
    for name, tensor in fox.canonical.tensors().items():
        assert torch.equal(after.canonical.tensors()[name][~part], tensor[~part])
    for t in TIMES[::4]:
        assert torch.equal(after.at(t).centers[~part], fox.at(t).centers[~part])
    graph = neighbour_graph(fox.canonical.centers.double().numpy(), normals_of(fox.canonical))
    places = after.canonical.centers.double().numpy()
    across = part.numpy()[graph.first] != part.numpy()[graph.second]
    gap = np.linalg.norm(places[graph.first] - places[graph.second], axis=-1)
    assert across.sum() > 20
    # Beside the border the factor is still near 1: neighbours across it stay neighbours.
    assert np.quantile(gap[across] / graph.lengths[across], 0.9) < 1.15
    # Most where the growth fades in: 1 + 0.6 share + 0.6 distance from the joint * slope of the share, here up to 2.47.
    assert (gap / graph.lengths).max() < 2.48
    # Everywhere the surfels grow with the gaps between them.
    grown = (after.canonical.scales / fox.canonical.scales).mean(-1).numpy()
    stretch = np.bincount(graph.first, gap / graph.lengths) / np.maximum(np.bincount(graph.first), 1)
    assert np.corrcoef(grown[part.numpy()], stretch[part.numpy()])[0, 1] > 0.95


def test_the_middle_of_the_joint_stays(fox: Field) -> None:
    part = _part(fox, "head", "ear_left", "ear_right")
    joint = joint_of(fox, part)
    rig = creature("quadruped", 0.5).rig
    assert rig is not None
    head = rig.skeleton.heads[rig.skeleton.index("head")]
    assert np.linalg.norm(joint - head) < 0.15


@settings(max_examples=25, deadline=None)
@given(st.floats(0.2, 5), st.floats(0.2, 5), st.floats(0.2, 5), st.integers(0, 2**20))
def test_three_factors_about_a_pivot(x: float, y: float, z: float, seed: int) -> None:
    whole = field("bones")
    generator = torch.Generator().manual_seed(seed)
    part = torch.rand(60, generator=generator) < 0.5
    part[0] = True
    pivot = torch.randn(3, generator=generator, dtype=torch.float64)
    after = scale_region(whole, part, (x, y, z), pivot=pivot.tolist(), falloff=0.0)
    expected = pivot + torch.tensor([x, y, z], dtype=torch.float64) * (whole.canonical.centers[part] - pivot)
    torch.testing.assert_close(after.canonical.centers[part], expected, rtol=1e-12, atol=1e-12)
    # A surfel's area grows as the plane it lies in does.
    frames = torch.linalg.inv(torch.diag(torch.tensor([x, y, z], dtype=torch.float64))).mT * x * y * z
    from recon4d.core import quaternion

    normals = quaternion.to_matrix(whole.canonical.rotations_wxyz[part])[..., 2]
    turned = quaternion.to_matrix(after.canonical.rotations_wxyz[part])[..., 2]
    torch.testing.assert_close(turned, torch.nn.functional.normalize(normals @ frames.mT, dim=-1), rtol=0, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_may_grow_in_every_kind_of_field(kind: str) -> None:
    whole = field(kind)
    after = scale_region(whole, torch.ones(60, dtype=torch.bool), 2.0, pivot=(0.0, 0.0, 0.0))
    torch.testing.assert_close(after.canonical.centers, 2 * whole.canonical.centers)
    torch.testing.assert_close(after.canonical.scales, 2 * whole.canonical.scales)
    before, drawn = whole.refined.appearance_of(whole.canonical), after.refined.appearance_of(after.canonical)
    torch.testing.assert_close(drawn.scales, 2 * before.scales)
    matrices = [quaternion_matrix(s) for s in (before, drawn)]
    torch.testing.assert_close(matrices[1], matrices[0], rtol=0, atol=1e-9)
    torch.testing.assert_close(after.canonical.sh, whole.canonical.sh, rtol=0, atol=1e-9)


def quaternion_matrix(surfels) -> torch.Tensor:
    from recon4d.core import quaternion

    return quaternion.to_matrix(surfels.rotations_wxyz)


def test_numbers_out_of_range_are_refused() -> None:
    whole, part = field("bones"), torch.ones(60, dtype=torch.bool)
    with pytest.raises(InputError, match="factor"):
        scale_region(whole, part, 0.0)
    with pytest.raises(InputError, match="factor"):
        scale_region(whole, part, (1.0, 2.0))
    with pytest.raises(InputError, match="falloff"):
        scale_region(whole, part, 2.0, falloff=-1.0)
    with pytest.raises(InputError, match="pivot"):
        scale_region(whole, part, 2.0, pivot=(0.0, 1.0))
    with pytest.raises(InputError, match="select the part"):
        scale_region(whole, ~part, 2.0)
