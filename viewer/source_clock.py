"""Which moment of the film a moment of the edited scene shows, where edits have changed the scene's time.

The edits themselves are asked: they are made on a scene of a single surfel that lies at the place x = t at the time t,
and where it lies then is the moment that is shown.  So no edit of time is written down twice.  Edits of the time of
single layers are left out: everything else goes on as it was filmed.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from recon4d.core import SE3Spline, Surfels
from recon4d.editors import EditStack, Freeze, Loop, Retime, Reverse, Speed, Trim, evaluate
from recon4d.field import Field, RigidWarp
from recon4d.scene import Layer, Scene

_OF_TIME = (Freeze, Loop, Retime, Reverse, Speed, Trim)


def source_time(scene: Scene, stack: EditStack, time: float) -> float:
    """The film's moment that is seen at a moment of the edited scene, seconds of both."""
    edits = [edit for edit in stack.edits if isinstance(edit, _OF_TIME) and not edit.layers]
    if not any(edit.enabled for edit in edits):
        return time
    shown = evaluate(_watch(scene), EditStack(tuple(edits)))
    return float(shown.layers[0].field.at(time).centers[0, 0])


def source_frame(scene: Scene, stack: EditStack, time: float) -> int:
    """The frame of the film that is nearest to what is seen at a moment of the edited scene."""
    return int((scene.frame_times - source_time(scene, stack, time)).abs().argmin())


def _watch(scene: Scene) -> Scene:
    """A scene with the same frames, in which a surfel goes with the time."""
    first, last = float(scene.frame_times[0]), float(scene.frame_times[-1])
    step = max(last - first, 1.0)
    still = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    places = torch.zeros(4, 3, dtype=torch.float64)
    places[:, 0] = first + step * torch.arange(-1, 3, dtype=torch.float64)
    hand = Surfels(
        centers=torch.zeros(1, 3, dtype=torch.float64),
        rotations_wxyz=still[None],
        scales=torch.ones(1, 2, dtype=torch.float64),
        opacities=torch.ones(1, dtype=torch.float64),
        features=torch.zeros(1, 3, dtype=torch.float64),
    )
    path = SE3Spline(still.expand(4, 4).clone(), places, first, step)
    return replace(scene, layers=[Layer("hand", "object", Field(hand, torch.arange(1), RigidWarp(path)))])
