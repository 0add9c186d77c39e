"""More bones: which are split, that new ones move as those they come from, and that a fit resumes through it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recon4d.core import quaternion
from recon4d.field import BonesWarp
from recon4d.train import Capture, FitConfig, fit
from recon4d.train.bones import split_places
from recon4d.train.cameras import Cameras
from recon4d.train.grow import grow_bones
from recon4d.train.model import Model
from recon4d.train.optimizer import Optimizer
from tests.train.scenes import StopError, assert_equal, stop_at
from tests.train.test_parts import moving


def test_the_bone_whose_followers_need_most_is_split_towards_them():
    generator = torch.Generator().manual_seed(0)
    centers = torch.rand(200, 3, generator=generator) * torch.tensor([1.0, 0.2, 0.2])
    centers[100:, 0] += 2
    rest = torch.tensor([[0.5, 0.1, 0.1], [2.5, 0.1, 0.1]])
    slots = torch.zeros(200, 4, dtype=torch.int64)
    slots[100:, 0] = 1
    weights = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(200, 1)
    need = (centers[:, 0] > 2.5).float()
    parents, places = split_places(centers, rest, slots, weights, need, 1)
    assert parents.tolist() == [1]
    torch.testing.assert_close(places, torch.tensor([[2.75, 0.1, 0.1]]), atol=0.06, rtol=0)
    # Nobody asks for the other one, and a few followers are too few.
    assert split_places(centers, rest, slots, weights, need, 2)[0].tolist() == [1]
    assert split_places(centers[-20:], rest, slots[-20:], weights[-20:], need[-20:], 2)[0].tolist() == []


@pytest.mark.parametrize("bones", [1, 3, 6])
def test_new_bones_belong_to_the_part(bones: int):
    part = moving(bones, count=200)
    optimizer = Optimizer(Model([part], Cameras({}), 0.5), FitConfig())
    need = torch.rand(200, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        parents, _ = split_places(part.parameters["centers"], part.rest, part.slots, part.weights(), need, 2)
    grown = grow_bones(part, optimizer, need, 2)
    assert grown == len(parents) >= 1
    assert len(part.rest) == bones + grown
    for name in ("bone_log_radii", "bone_rotations", "bone_translations"):
        assert len(part.parameters[name]) == len(part.rest)
        assert part.parameters[name].requires_grad
    assert 0 <= int(part.slots.min()) <= int(part.slots.max()) < len(part.rest)
    torch.testing.assert_close(part.weights().sum(-1), torch.ones(200))
    saved, trained = part.frozen_field().at(0.4), part.at(0.4, torch.eye(4)).surfels
    torch.testing.assert_close(saved.centers, trained.centers.detach(), atol=2e-5, rtol=0)


def apart_after_growth(bones: int, turn: float) -> float:
    """How far new bones carry a point of theirs from where their parents carry it, in distances between the two.

    Every control pose is turned by `turn` radians from the bone's mean, about an axis of its own.
    """
    part = moving(bones, count=200)
    generator = torch.Generator().manual_seed(2)
    rotations = part.parameters["bone_rotations"]
    axes = torch.nn.functional.normalize(torch.randn(*rotations.shape[:2], 3, generator=generator), dim=-1)
    with torch.no_grad():
        rotations.copy_(quaternion.multiply(quaternion.exp(turn * axes), rotations[:, :1].clone().expand_as(rotations)))
        need = torch.ones(200)
        parents, places = split_places(part.parameters["centers"], part.rest, part.slots, part.weights(), need, 2)
        grow_bones(part, Optimizer(Model([part], Cameras({}), 0.5), FitConfig()), need, 2)
        turns, shifts = part.warp().transforms_at(torch.linspace(0, 1, 21, dtype=torch.float64))
        matrices = quaternion.to_matrix(turns)
        torch.testing.assert_close(matrices[:, bones:], matrices[:, parents], atol=1e-5, rtol=0)
        ours, theirs = (
            (matrices[:, k] @ places[..., None])[..., 0] + shifts[:, k] for k in (range(bones, len(part.rest)), parents)
        )
    away = (places - part.rest[parents]).norm(dim=-1)
    return float(((ours - theirs).norm(dim=-1) / away).max())


@pytest.mark.parametrize("bones", [1, 3, 6])
def test_new_bones_move_as_their_parents(bones: int):
    """Exactly where these stand still; else up to what lies between controls, where a turn's chord cuts its arc."""
    assert apart_after_growth(bones, 0.0) < 1e-5
    large, small = apart_after_growth(bones, 0.1), apart_after_growth(bones, 0.05)
    assert 0 < large < 0.1**2
    assert small == pytest.approx(large / 4, rel=0.2)


def test_growing_moves_nothing_of_what_moves_as_one():
    """Whatever slots the new bones take, surfels stay where they were at every moment."""
    part = moving(4, count=200)
    with torch.no_grad():
        for name in ("bone_rotations", "bone_translations"):
            part.parameters[name].copy_(part.parameters[name][:1, :1].clone().expand_as(part.parameters[name]))
        # One motion of all: what a bone at the origin would have.
        turn = part.parameters["bone_rotations"][:, :1]
        part.parameters["bone_translations"].add_(quaternion.rotate(turn, part.rest[:, None]))
    before = [part.at(time, torch.eye(4)).surfels for time in (0.0, 0.4, 1.0)]
    slots = part.slots.clone()
    assert grow_bones(part, Optimizer(Model([part], Cameras({}), 0.5), FitConfig()), torch.ones(200), 3) == 3
    assert not torch.equal(part.slots, slots)
    for time, old in zip((0.0, 0.4, 1.0), before, strict=True):
        new = part.at(time, torch.eye(4)).surfels
        torch.testing.assert_close(new.centers, old.centers, atol=1e-5, rtol=0)
        one, other = (quaternion.to_matrix(quaternion.normalize(s.rotations_wxyz)) for s in (new, old))
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_nothing_asked_nothing_grown():
    part = moving(3, count=200)
    optimizer = Optimizer(Model([part], Cameras({}), 0.5), FitConfig())
    before = part.parameters["bone_rotations"]
    assert grow_bones(part, optimizer, torch.zeros(200), 4) == 0
    assert part.parameters["bone_rotations"] is before
    assert len(part.rest) == 3


@pytest.mark.usefixtures("quick_disk")
def test_resumed_through_growth_is_unbroken(capture: Capture, quick: FitConfig, tmp_path: Path):
    config = replace(quick, bones=5, bones_at_first=2, bone_growth=(0.3, 0.5))
    bones: list[tuple[int, int]] = []
    unbroken = fit(capture, config, callback=lambda at: bones.append((at.step, len(at.model.objects[0].rest))))
    # Half of what is missing at the relocation after each of the moments, steps 8 and 12.
    assert bones == [(5, 2), (10, 4), (15, 5), (20, 5)]
    warp = unbroken.scene.layer("object").field.warp
    assert isinstance(warp, BonesWarp)
    assert len(warp.rest_translations) == 5
    file = tmp_path / "state.safetensors"
    for step in (5, 10):
        with pytest.raises(StopError):
            fit(capture, config, checkpoint=file, resume=True, callback=stop_at(step))
    assert_equal(fit(capture, config, checkpoint=file, resume=True).scene, unbroken.scene)
