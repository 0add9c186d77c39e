"""Placing, retiming and repeating: exact for every kind of warp, in place, turn, size and seen colour."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import InputError, quaternion, spherical_harmonics
from recon4d.editors.shapes import place, repeat, retime, similarity, turn_colors
from recon4d.field import Field, RigidWarp
from tests.editors.shapes.fields import DURATION, KINDS, field, spline, surfels

TIMES = torch.linspace(-0.2, DURATION + 0.2, 7, dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_a_placed_field_is_the_similarity_of_the_field_at_every_time(kind: str) -> None:
    before = field(kind)
    pose = similarity(1.7, (0.3, -0.5, 0.7, 0.2), (1.0, -2.0, 0.5))
    after = place(before, pose)
    old, new = before.at_times(TIMES), after.at_times(TIMES)
    torch.testing.assert_close(new.centers, pose.transform_points(old.centers), rtol=0, atol=1e-12)
    expected = quaternion.to_matrix(quaternion.multiply(pose.rotation_wxyz, old.rotations_wxyz))
    torch.testing.assert_close(quaternion.to_matrix(new.rotations_wxyz), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(new.scales, 1.7 * old.scales, rtol=1e-14, atol=0)
    drawn = after.appearance_at_times(TIMES)
    torch.testing.assert_close(drawn.scales, 1.7 * before.appearance_at_times(TIMES).scales, rtol=1e-14, atol=0)
    assert torch.equal(after.ids, before.ids)
    assert type(after.warp.underlying) is type(before.warp.underlying) or kind == "still residual"


@pytest.mark.parametrize("kind", KINDS)
def test_colours_turn_with_a_placed_field(kind: str) -> None:
    before, pose = field(kind), similarity(0.5, (0.3, -0.5, 0.7, 0.2), (1.0, -2.0, 0.5))
    after = place(before, pose)
    directions = torch.nn.functional.normalize(surfels(60, 4).centers, dim=-1)

    def seen(which: Field, direction: torch.Tensor) -> torch.Tensor:
        state = which.at(0.7)
        local = quaternion.rotate(quaternion.conjugate(state.world_from_canonical_wxyz), direction)
        return spherical_harmonics.evaluate(state.sh, local)

    turned = quaternion.rotate(pose.rotation_wxyz, directions)
    torch.testing.assert_close(seen(after, turned), seen(before, directions), rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3))
def test_turned_colours_show_the_same_from_turned_directions(seed: int, degree: int) -> None:
    some = surfels(10, seed, degree)
    turns = quaternion.normalize(surfels(10, seed + 1).rotations_wxyz)
    directions = torch.nn.functional.normalize(surfels(10, seed + 2).centers, dim=-1)
    for rotation in (turns, turns[0]):
        after = spherical_harmonics.evaluate(turn_colors(some.sh, rotation), quaternion.rotate(rotation, directions))
        torch.testing.assert_close(after, spherical_harmonics.evaluate(some.sh, directions), rtol=0, atol=1e-12)
    assert torch.equal(turn_colors(some.sh, turns)[:, 0], some.sh[:, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_another_clock(kind: str) -> None:
    before = field(kind)
    after = retime(before, start=2.0, speed=0.5)
    old, new = before.at_times(TIMES), after.at_times(2.0 + TIMES / 0.5)
    torch.testing.assert_close(new.centers, old.centers, rtol=0, atol=1e-12)


def test_a_round_is_repeated() -> None:
    # A motion that closes: there and back on a circle.
    times = torch.linspace(0, 1, 41, dtype=torch.float64)
    angle = 2 * torch.pi * times
    places = torch.stack([angle.cos(), angle.sin(), 0 * angle], -1)
    turns = quaternion.exp(torch.stack([0 * angle, 0 * angle, 0.3 * angle.sin()], -1))
    round_ = type(spline(0)).fit(times, turns, places, step=0.05)
    once = Field(surfels(), torch.arange(60), RigidWarp(round_))
    thrice = repeat(once, duration=1.0, until=3.0)
    for lap in range(3):
        moved = thrice.at_times(lap + times[1:-1]).centers
        assert (moved - once.at_times(times[1:-1]).centers).abs().max() < 5e-3
    assert repeat(once, duration=1.0, until=0.5) is once


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="scale > 0"):
        similarity(0.0)
    with pytest.raises(InputError, match="not zero"):
        similarity(1.0, (0.0, 0.0, 0.0, 0.0))
    with pytest.raises(InputError, match="speed > 0"):
        retime(field("rigid"), speed=-1.0)
    with pytest.raises(InputError, match="duration > 0"):
        repeat(field("rigid"), duration=0.0, until=1.0)
    with pytest.raises(InputError, match="a path or by bones"):
        repeat(field("residual"), duration=1.0, until=3.0)
