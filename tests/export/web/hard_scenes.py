"""Scenes that use everything that can move or colour a surfel, for exporters to be compared with the scene itself."""

from __future__ import annotations

import dataclasses

import torch

from recon4d.core import SE3Spline, Surfels, quaternion
from recon4d.editors.edited_field import stepped
from recon4d.editors.keys import Key
from recon4d.editors.motions import PoseKey
from recon4d.editors.steps import Amount, ClockStep, FadeStep, MoveStep
from recon4d.field import BonesWarp, Field, Refined, ResidualWarp
from recon4d.scene import Layer, Scene
from tests.export.scenes import TIMES, blob, ring, two_bones

HOSTILE_NAME = "</script><img src=x onerror=alert(1)>\"'&"
SIZE = (160, 128)


def shiny(surfels: Surfels, coefficients: int) -> Surfels:
    """The same with colours that depend on the view."""
    generator = torch.Generator().manual_seed(3)
    rest = 0.25 * torch.randn(len(surfels), coefficients - 1, 3, generator=generator)
    return surfels.replace(sh=torch.cat([surfels.sh, rest], 1))


def _twist(surfels: Surfels) -> BonesWarp:
    """Two bones, one of which turns by more than a right angle about the line between them."""
    count = len(TIMES)
    angle = torch.stack([torch.zeros(count), torch.linspace(0, 2.2, count)]).double() / 2
    turns = torch.stack([angle.cos(), angle.sin(), 0 * angle, 0 * angle], -1)
    places = torch.tensor([[-0.3, 0, 0], [0.3, 0, 0]]).double()[:, None].repeat(1, count, 1)
    path = SE3Spline.fit(TIMES, turns, places, step=0.25).to(torch.float32)
    return dataclasses.replace(two_bones(surfels), path=path, blend="dual_quaternion")


def _scene(name: str, field: Field) -> Scene:
    return Scene(TIMES, ring(size=SIZE), [Layer(name, "object", field)])


def twisting_scene() -> Scene:
    """Dual quaternions, colours of degree 3, a refined branch, and a name that would break a careless page."""
    surfels = shiny(blob(400, 0.7, (0.8, 0.3, 0.1)), 16)
    turn = quaternion.normalize(torch.tensor([[1.0, 0.1, 0.2, 0.3]])).repeat(400, 1)
    refined = Refined(turn, surfels.scales * torch.tensor([1.3, 0.6]))
    return _scene(HOSTILE_NAME, Field(surfels, torch.arange(400), _twist(surfels), refined))


def displaced_scene() -> Scene:
    """Displacements on top of bones, colours of degree 1."""
    surfels = shiny(blob(400, 0.7, (0.2, 0.5, 0.3)), 4)
    grid = 0.12 * torch.randn(7, 5, 4, 6, 3, generator=torch.Generator().manual_seed(1))
    corner = torch.full((3,), 0.7)
    warp = ResidualWarp(two_bones(surfels), grid, -corner, corner, 0.0, 0.25)
    return _scene("displaced", Field(surfels, torch.arange(400), warp))


def edited_scene() -> Scene:
    """Another clock, then surfels that move, turn, grow and fade over time."""
    surfels = shiny(blob(400, 0.7, (0.2, 0.5, 0.3)), 4)
    rows = torch.nonzero(surfels.centers[:, 0] > 0.2)[:, 0]
    keys = (
        PoseKey(0.0),
        PoseKey(0.5, (0.0, 0.2, 0.1), (40.0, 0.0, 20.0), 1.5),
        PoseKey(1.0, (0.0, 0.0, 0.3), (0.0, 60.0, 0.0), 0.8),
    )
    steps = (
        ClockStep((Key(0.0, 0.0), Key(0.6, 1.0), Key(1.0, 0.5))),
        MoveStep(rows, None, PoseKey(0.0), keys, None, torch.tensor([0.3, 0.0, 0.0]), "world", None),
        FadeStep(rows[::2], None, Amount(1.0, (Key(0.0, 1.0), Key(1.0, 0.2)))),
    )
    return _scene("edited", stepped(Field(surfels, torch.arange(400), two_bones(surfels)), *steps))
