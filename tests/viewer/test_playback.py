"""A client's clock."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon4d.viewer.playback import Playback


def clock(**values: object) -> Playback:
    return Playback(np.arange(5) * 0.5 + 1.0, **values)  # 1.0 to 3.0 s


def test_it_stands_still_until_it_plays():
    one = clock(time=1.5)
    one.advance(10)
    assert one.time == 1.5
    one.play()
    one.advance(0.25)
    assert one.time == 1.75


def test_speed_and_direction():
    one = clock(time=2.0, speed=2.0)
    one.play()
    one.advance(0.25)
    assert one.time == 2.5
    one.speed = -1.0
    one.advance(0.5)
    assert one.time == 2.0


def test_a_loop_begins_anew_after_the_time_of_one_frame():
    one = clock(time=3.0)
    one.play()
    one.advance(0.4)
    assert one.time == 3.0
    one.advance(0.2)
    assert one.time == pytest.approx(1.1)
    assert one.playing


def test_without_a_loop_it_stops_at_the_end_and_begins_anew():
    one = clock(time=2.9, loop=False)
    one.play()
    one.advance(1.0)
    assert (one.time, one.playing) == (3.0, False)
    one.play()
    assert (one.time, one.playing) == (1.0, True)


def test_steps_go_frame_by_frame_and_around():
    one = clock(time=1.6)
    one.step(1)
    assert (one.frame, one.time) == (2, 2.0)
    one.step(-3)
    assert (one.frame, one.time) == (4, 3.0)
    one.loop = False
    one.step(1)
    assert one.time == 3.0


def test_one_frame_never_plays():
    one = Playback(np.array([0.7]))
    one.play()
    one.advance(5)
    assert (one.time, one.playing) == (0.7, False)


@given(
    st.lists(st.floats(-3, 3, allow_nan=False), max_size=20),
    st.floats(-4, 4, allow_nan=False),
    st.booleans(),
)
def test_time_never_leaves_the_clip(steps: list[float], speed: float, loop: bool):
    one = clock(speed=speed, loop=loop)
    one.play()
    for step in steps:
        one.advance(abs(step))
        assert one.first <= one.time <= one.last
