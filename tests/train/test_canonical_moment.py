"""Which moment an object's first shape is of."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from recon4d.core import InputError, SE3Spline
from recon4d.train import FitConfig, initialise
from recon4d.train.frames import Frame, Frames
from recon4d.train.hull import Hull
from tests.train.moving import camera

MOMENTS = [0.5, 0.35, 0.65, 0.2]
STILL = SE3Spline.constant(torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.zeros(3))


def seen(frames: Frames, arc: float) -> tuple[Frame, ...]:
    """Frames whose cameras jump about on an arc (radians) around the subject."""
    jumps = [(7 * i % len(frames)) / len(frames) for i in range(len(frames))]
    return tuple(
        replace(frame, camera=camera(arc * jump, 0.3, 32)) for frame, jump in zip(frames.levels[1], jumps, strict=True)
    )


def chosen(monkeypatch: pytest.MonkeyPatch, frames: tuple[Frame, ...], coverages: dict[float, float]) -> float:
    """The moment that is taken where hulls cover so much, and others cannot be carved."""

    def carve(_seen: object, _root: object, moment: float, **_options: object) -> Hull:
        if moment not in coverages:
            raise InputError("masks", expected="a hull", got="nothing", fix="none")
        nothing = torch.zeros(0, 3)
        return Hull(nothing, torch.zeros(0, 4), nothing, 0.1, 1.0, 0.9, coverages[moment])

    monkeypatch.setattr(initialise, "carve", carve)
    hull, moment = initialise._best_hull(frames, STILL, MOMENTS, FitConfig())
    assert hull.coverage == coverages[moment]
    return moment


def test_the_first_is_taken_where_it_fills_the_masks(monkeypatch: pytest.MonkeyPatch, frames: Frames):
    around = seen(frames, 2 * math.pi)
    assert chosen(monkeypatch, around, {0.5: 0.96, 0.35: 0.99, 0.65: 0.99, 0.2: 0.99}) == 0.5


def test_the_fullest_is_taken_where_the_first_lacks_limbs(monkeypatch: pytest.MonkeyPatch, frames: Frames):
    around = seen(frames, 2 * math.pi)
    assert chosen(monkeypatch, around, {0.5: 0.8, 0.35: 0.7, 0.65: 0.93, 0.2: 0.9}) == 0.65
    assert chosen(monkeypatch, around, {0.5: 0.8, 0.2: 0.9}) == 0.2  # the others cannot be carved
    assert chosen(monkeypatch, around, {0.5: 0.8, 0.35: 0.96, 0.65: 0.99, 0.2: 0.99}) == 0.35  # which is full enough


def test_cameras_on_one_side_tell_nothing_of_limbs(monkeypatch: pytest.MonkeyPatch, frames: Frames):
    beside = seen(frames, math.pi / 3)
    assert chosen(monkeypatch, beside, {0.5: 0.8, 0.35: 0.9, 0.65: 0.93, 0.2: 0.9}) == 0.5


def test_a_first_moment_that_cannot_be_carved_is_told(monkeypatch: pytest.MonkeyPatch, frames: Frames):
    with pytest.raises(InputError):
        chosen(monkeypatch, seen(frames, 2 * math.pi), {0.35: 0.9})
