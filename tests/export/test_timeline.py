"""Which moments a description of time means."""

from __future__ import annotations

import pytest

from recon4d import InputError
from recon4d.export import timeline
from recon4d.scene import Scene
from tests.export.scenes import TIMES, object_scene

SCENE = object_scene()  # nine frames within one second


def test_all_is_the_frames_of_the_scene():
    frames = timeline(SCENE)
    assert frames.times == tuple(TIMES.tolist())
    assert frames.fps == pytest.approx(8.0)
    assert not frames.frozen


def test_all_at_a_rate_is_real_time():
    frames = timeline(SCENE, "all", fps=20)
    assert frames.times == pytest.approx([i / 20 for i in range(21)])
    assert frames.fps == 20


def test_all_within_a_length_is_spread_evenly():
    frames = timeline(SCENE, "all", fps=10, seconds=2)
    assert len(frames.times) == 20
    assert (frames.times[0], frames.times[-1]) == (0.0, 1.0)
    assert frames.times[1] == pytest.approx(1 / 19)


def test_a_moment_stands_still():
    frames = timeline(SCENE, "0.25", fps=10)
    assert frames.times == (0.25,) * 40
    assert frames.frozen
    assert len(timeline(SCENE, "0.25", fps=10, seconds=0.5).times) == 5


def test_slow_motion_is_exact():
    frames = timeline(SCENE, "slow:0.25", fps=10)
    assert frames.times == pytest.approx([0.025 * i for i in range(41)])
    assert timeline(SCENE, "slow:0.25").fps == 24
    assert len(timeline(SCENE, "slow:2", fps=10).times) == 6


def test_a_range_also_backwards():
    assert timeline(SCENE, "0.2:0.5", fps=10).times == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert timeline(SCENE, "0.5:0.2", fps=10).times == pytest.approx([0.5, 0.4, 0.3, 0.2])
    assert timeline(SCENE, "0.5:0.2", fps=2, seconds=1).times == pytest.approx([0.5, 0.2])


def test_a_scene_of_one_frame_stands_still():
    still = Scene(TIMES[:1], SCENE.cameras[:1], SCENE.layers)
    for text in ("all", "0", "slow:0.5", "0:0"):
        frames = timeline(still, text, fps=5)
        assert frames.times == (0.0,) * 20
        assert frames.frozen


@pytest.mark.parametrize(
    ("text", "options", "named"),
    [
        ("1.5", {}, "0 to 1"),
        ("-0.1", {}, "0 to 1"),
        ("0.5:2", {}, "0 to 1"),
        ("slow:0", {}, "slow"),
        ("slow:-1", {}, "slow"),
        ("slow:fast", {}, "slow:0.25"),
        ("slow:0.5", {"seconds": 2.0}, "seconds"),
        ("soon", {}, "'soon'"),
        ("", {}, "all"),
        ("nan", {}, "all"),
        ("all", {"fps": 0.0}, "fps"),
        ("all", {"fps": float("nan")}, "fps"),
        ("all", {"seconds": -1.0}, "seconds"),
        ("slow:0.0000001", {}, "frames"),
    ],
)
def test_what_cannot_be_is_refused(text, options, named):
    with pytest.raises(InputError, match=named):
        timeline(SCENE, text, **options)
