"""Settings that suit what the cameras tell.

A camera that goes slowly around shows a moment from one side, and the next from nearly the same: how something moves
along the line of sight is then for the regularisers to say, and they must be strong.  Cameras that jump from frame to
frame (D-NeRF's), or several at a moment, show it from all sides within the time in which it hardly moves.  There strong
regularisers only keep limbs from following their images, and what does not follow fades; so motion is freer and
learned faster, bones are more, and hulls are carved from a shorter time.  Measured in docs/benchmarks.md.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from recon4d.train.config import FitConfig
from recon4d.train.frames import Frames

_JUMP_DEGREES = 20.0  # between neighbouring frames' views; a whole turn in 100 frames is 3.6 degrees a frame
_HULL_WINDOW = 0.05


def suited(config: FitConfig, frames: Frames) -> FitConfig:
    """The settings for cameras that jump, where they do; else the same."""
    if jump_degrees(frames) < _JUMP_DEGREES:
        return config
    weights, rates, bones = config.weights, config.rates, math.ceil(1.5 * config.bones)
    return replace(
        config,
        hull_window=min(config.hull_window, _HULL_WINDOW),
        bones=bones,
        bones_at_first=min(2 * config.bones_at_first, bones),
        weights=replace(weights, rigidity=0.1 * weights.rigidity, acceleration=0.05 * weights.acceleration, rank=0.0),
        rates=replace(
            rates, motion_rotations=2 * rates.motion_rotations, motion_translations=2 * rates.motion_translations
        ),
    )


def jump_degrees(frames: Frames) -> float:
    """Median angle between the directions that neighbouring frames look in; 0 for a single frame."""
    ways = torch.stack([frame.camera.cam_from_world[2, :3] for frame in frames.levels[1]])
    if len(ways) < 2:
        return 0.0
    cosines = torch.nn.functional.cosine_similarity(ways[1:], ways[:-1], dim=-1)
    return float(torch.rad2deg(torch.arccos(cosines.clamp(-1, 1))).median())
