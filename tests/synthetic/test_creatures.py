"""The built-in creatures: sound surfaces, truthful motion, and fields that follow them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon4d.core import InputError
from recon4d.synthetic import CREATURE_NAMES, creature, creature_field
from recon4d.synthetic.creatures.quadruped import _DURATION, _STANCE, _STEP
from recon4d.synthetic.surface import is_closed, sample_surface, signed_volume

DETAIL = 0.5


@pytest.mark.parametrize("name", CREATURE_NAMES)
def test_surface_is_closed_and_stays_sound_while_it_moves(name: str) -> None:
    subject = creature(name, DETAIL)
    assert is_closed(subject.faces)
    rest_volume = signed_volume(subject.vertices, subject.faces)
    assert rest_volume > 0.03
    for time in np.linspace(0, subject.duration, 5):
        vertices = subject.vertices_at(float(time))
        assert np.isfinite(vertices).all()
        assert np.abs(vertices).max() < 1.7
        # Bending and squeezing change a volume, but turn nothing inside out.
        assert signed_volume(vertices, subject.faces) == pytest.approx(rest_volume, rel=0.35)


@pytest.mark.parametrize("name", CREATURE_NAMES)
def test_motion_is_real_smooth_and_loops_when_it_says_so(name: str) -> None:
    subject = creature(name, DETAIL)
    times = np.linspace(0, subject.duration, 121)
    track = np.stack([subject.vertices_at(float(t))[::40] for t in times])
    assert np.ptp(track, axis=0).max(-1).mean() > 0.05
    # Halving the step halves the change: no jumps.
    steps, halves = np.abs(track[2::2] - track[:-2:2]).max(), np.abs(np.diff(track, axis=0)).max()
    assert halves < 0.75 * steps
    if subject.loops:
        np.testing.assert_allclose(track[0], track[-1], atol=1e-9)


@pytest.mark.parametrize("name", CREATURE_NAMES)
def test_texture_is_fine_colourful_and_a_function_of_the_surface(name: str) -> None:
    subject = creature(name, DETAIL)
    face, barycentric = sample_surface(subject.vertices, subject.faces, 1500, np.random.default_rng(0))
    points = (subject.vertices[subject.faces[face]] * barycentric[..., None]).sum(1)
    colors = subject.paint(points)
    assert colors.shape == (1500, 3)
    assert colors.min() >= 0
    assert colors.max() <= 1
    assert colors.std(0).min() > 0.05
    np.testing.assert_array_equal(subject.paint(points[:10]), colors[:10])
    # Detail a hundredth of a unit across: two points that far apart differ, most of the time.
    moved = subject.paint(points + 0.006)
    assert np.median(np.abs(moved - colors).max(-1)) > 0.01


@pytest.mark.parametrize("name", [n for n in CREATURE_NAMES if n != "jelly"])
def test_skin_weights_are_a_partition(name: str) -> None:
    rig = creature(name, DETAIL).rig
    assert rig is not None
    assert (rig.weights >= 0).all()
    np.testing.assert_allclose(rig.weights.sum(1), 1)
    assert set(np.unique(rig.indices[rig.weights > 0.1])) == set(range(len(rig.skeleton.names)))


def test_no_skeleton_explains_the_jelly() -> None:
    subject = creature("jelly", DETAIL)
    assert subject.rig is None
    # Not even one moment's motion is near an affine map.
    moved = subject.vertices_at(0.7)
    design = np.concatenate([subject.vertices, np.ones((len(moved), 1))], -1)
    residual = moved - design @ np.linalg.lstsq(design, moved, rcond=None)[0]
    assert np.sqrt((residual**2).mean()) > 0.02


def test_feet_stand_still_while_they_stand() -> None:
    subject = creature("quadruped", DETAIL)
    assert subject.rig is not None
    foot = subject.rig.skeleton.index("paw_left")
    # The left forefoot is three quarters of a cycle ahead.
    begin = (np.ceil(0.75) - 0.75) * _STEP
    times = np.linspace(begin + 0.02, begin + _STANCE * 0.65 * _STEP, 9)
    assert times[-1] < _DURATION
    places = np.stack([subject.rig.pose(float(t))[foot][:3, 3] for t in times])
    assert np.ptp(places[:, [0, 2]], axis=0).max() < 5e-3


def test_unknown_names_and_details_are_refused() -> None:
    with pytest.raises(InputError, match="one of quadruped, biped, fish, jelly, got 'dragon'"):
        creature("dragon")
    with pytest.raises(InputError, match=r"a number from 0\.2 to 4"):
        creature("fish", 9.0)


@pytest.mark.parametrize(("name", "mean", "worst"), [
    # Observed: .00021/.0043, .00014/.0033, .00005/.0005, .0082/.076 (free bones instead of a skeleton).
    ("quadruped", 0.0005, 0.008), ("biped", 0.0005, 0.008), ("fish", 0.0002, 0.002), ("jelly", 0.012, 0.12),
])  # fmt: skip
def test_field_follows_the_creature(name: str, mean: float, worst: float) -> None:
    subject = creature(name, DETAIL)
    field = creature_field(name, 1000, seed=2, detail=DETAIL)
    assert len(field) == 1000
    face, barycentric = sample_surface(subject.vertices, subject.faces, 1000, np.random.default_rng(2))
    corners = subject.faces[face]
    for time in np.linspace(0, subject.duration, 7):
        state = field.at(float(time))
        truth = (subject.vertices_at(float(time))[corners] * barycentric[..., None]).sum(1)
        error = np.linalg.norm(state.centers.numpy() - truth, axis=-1)
        assert error.mean() < mean
        assert error.max() < worst


def test_field_repeats_for_a_seed_and_covers_the_surface() -> None:
    first, again = (creature_field("fish", 300, seed=5, detail=DETAIL).canonical for _ in range(2))
    other = creature_field("fish", 300, seed=6, detail=DETAIL).canonical
    assert torch.equal(first.centers, again.centers)
    assert not torch.equal(first.centers, other.centers)
    assert first.sh is not None
    assert first.sh.shape == (300, 1, 3)
    subject = creature("fish", DETAIL)
    area = (
        0.5
        * np.linalg.norm(
            np.cross(*(subject.vertices[subject.faces[:, i]] - subject.vertices[subject.faces[:, 0]] for i in (1, 2))),
            axis=-1,
        ).sum()
    )
    # Ellipses of one standard deviation together cover about the surface once.
    assert float((np.pi * first.scales.prod(-1)).sum()) == pytest.approx(area, rel=0.4)
