"""Settings that go with the cameras: those that jump tell motion by themselves."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from recon4d.core import Camera
from recon4d.train import FitConfig
from recon4d.train.frames import Frame, Frames
from recon4d.train.suited import jump_degrees, suited


def filmed(angles: list[float]) -> Frames:
    """Frames of cameras that stand so many degrees around their subject."""
    frames = []
    for index, degrees in enumerate(angles):
        angle = math.radians(degrees)
        camera = Camera.look_at(
            [4 * math.cos(angle), 4 * math.sin(angle), 1.0], [0.0, 0.0, 0.0], fov_y_degrees=40.0, width=8, height=8
        )
        mask = torch.full((8, 8), 255, dtype=torch.uint8)
        pixels = mask[..., None].expand(8, 8, 4).contiguous()
        frames.append(Frame(index, index / 30, camera, pixels, mask[None], (0, 0, 8, 8)))
    return Frames({1: tuple(frames)}, 1, "none")


def test_a_steady_camera_changes_nothing():
    config = FitConfig()
    assert suited(config, filmed([3.6 * k for k in range(100)])) is config
    assert suited(config, filmed([0.0])) is config
    assert suited(config, filmed([0.0] * 9)) is config


def test_cameras_that_jump_let_motion_be_freer():
    config = FitConfig()
    free = suited(config, filmed([137.5 * k for k in range(40)]))
    assert free.weights.rigidity < config.weights.rigidity
    assert free.weights.acceleration < config.weights.acceleration
    assert free.rates.motion_rotations == 2 * config.rates.motion_rotations
    assert free.rates.motion_translations == 2 * config.rates.motion_translations
    assert config.bones_at_first < free.bones_at_first <= free.bones
    assert config.bones < free.bones
    assert free.hull_window < config.hull_window
    # Nothing else is touched, and what was asked for less is not made more.
    assert replace(free.weights, rigidity=0.3, acceleration=1.0, rank=0.01) == config.weights
    narrow = suited(replace(config, hull_window=0.01), filmed([137.5 * k for k in range(40)]))
    assert narrow.hull_window == 0.01


def test_one_jump_is_a_cut_and_not_a_way_of_filming():
    assert jump_degrees(filmed([0, 2, 4, 6, 120, 122, 124])) < 3
    assert jump_degrees(filmed([0, 90, 180, 270])) == pytest.approx(87, abs=3)
