"""What is compared with the film is of the film's moment, whatever edits have done to the time."""

from __future__ import annotations

import pytest
import torch

from recon4d.editors import All, Edit, EditStack, Freeze, Key, Loop, Recolor, Retime, Reverse, Speed, Trim, evaluate
from recon4d.scene import Scene
from recon4d.viewer.source_clock import source_frame, source_time

STACKS: dict[str, tuple[Edit, ...]] = {
    "nothing": (Recolor(select=All(), color=(1.0, 0.0, 0.0)),),
    "reverse": (Reverse(),),
    "slow": (Speed(factor=0.5),),
    "fast": (Speed(factor=2.0),),
    "trim": (Trim(start=0.25, end=0.75),),
    "trim, then reverse": (Trim(start=0.25, end=0.75), Reverse()),
    "reverse, then slow": (Reverse(), Speed(factor=0.5)),
    "loop": (Loop(start=0.25, end=0.75, count=3),),
    "back and forth": (Loop(start=0.25, end=0.75, mirror=True, count=2),),
    "retime": (Retime(keys=(Key(0.0, 0.5, "linear"), Key(1.0, 0.25, "linear"))),),
    "freeze": (Freeze(time=0.375, start=0.25, end=0.75),),
}


@pytest.mark.parametrize("name", STACKS)
def test_the_scene_and_the_frame_show_the_same_moment(scene: Scene, name: str):
    stack = EditStack(STACKS[name])
    view = evaluate(scene, stack)
    for time in view.frame_times.tolist():
        moment = source_time(scene, stack, time)
        shown, filmed = view.layer("blob").field.at(time), scene.layer("blob").field.at(moment)
        assert torch.allclose(shown.centers, filmed.centers, atol=1e-5)
        assert abs(float(scene.frame_times[source_frame(scene, stack, time)]) - moment) <= 0.0626


def test_frames_are_those_of_the_film(scene: Scene):
    assert [source_frame(scene, EditStack((Reverse(),)), i / 8) for i in range(9)] == list(range(8, -1, -1))
    slow = EditStack((Speed(factor=0.5),))
    assert [source_frame(scene, slow, i / 4) for i in range(9)] == list(range(9))


def test_what_is_switched_off_or_of_one_layer_changes_nothing(scene: Scene):
    stack = EditStack((Reverse(enabled=False), Reverse(layers=("ball",)), Freeze(time=0.0, layers=("blob",))))
    assert source_time(scene, stack, 0.25) == 0.25
