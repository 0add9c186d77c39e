"""What each surfel gives to the images: blending weights by hand."""

from __future__ import annotations

import math

import pytest
import torch

from recon4d.core import Camera, Surfels
from recon4d.render import rasterize
from recon4d.train.backdrop import Backdrop
from recon4d.train.cameras import Cameras
from recon4d.train.frames import Frame
from recon4d.train.model import Model
from recon4d.train.part import as_leaves, logit, nearest_surfels, surfel_parameters
from recon4d.train.visibility import contributions
from tests.train.moving import camera

SIZE = 24
FACING_X = (math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0)


def row(name: str, along_x: list[float], scale: float, opacity: float) -> Backdrop:
    """Discs on the x axis, which the camera at angle 0 looks along."""
    count = len(along_x)
    centers = torch.tensor([[x, 0.0, 0.0] for x in along_x])
    turns = torch.tensor(FACING_X).repeat(count, 1)
    values = surfel_parameters(
        centers,
        turns,
        torch.full((count, 2), scale),
        torch.rand(count, 3),
        opacity_logit=logit(opacity),
        sh_degree=1,
    )
    leaves = as_leaves(values, torch.device("cpu"))
    return Backdrop(name, "background", leaves, torch.arange(count), count, 1.0, nearest_surfels(centers))


def frame(view: Camera) -> Frame:
    pixels = torch.zeros(SIZE, SIZE, 4, dtype=torch.uint8)
    return Frame(0, 0.0, view, pixels, pixels[None, ..., 0], (0, 0, SIZE, SIZE))


def alone(part: Backdrop, rows: slice, view: Camera) -> float:
    """The sum of the coverage that some surfels give where there are no others."""
    surfels = part.surfels()
    chosen = Surfels(**{name: tensor[rows].detach() for name, tensor in surfels.tensors().items()})
    return float(rasterize(chosen, view).alpha.sum())


def test_the_front_gives_its_coverage_and_what_is_behind_the_rest():
    view = camera(0.0, 0.0, SIZE)
    part = row("row", [1.0, 0.0, -1.0], 0.2, 0.6)
    (given,) = contributions(Model([part], Cameras({}), 0.0), (frame(view),), 1)
    first, two, three = (alone(part, slice(0, k), view) for k in (1, 2, 3))
    assert first > 10
    assert given.tolist() == pytest.approx([first, two - first, three - two], rel=1e-4)
    assert float(given[1]) < first


def test_what_is_hidden_or_behind_the_camera_gives_nothing():
    """Three walls of 0.999 let less than the least transmittance through."""
    view = camera(0.0, 0.0, SIZE)
    part = row("row", [1.0, 0.9, 0.8, 0.0, 50.0], 40.0, 0.9999)
    with torch.no_grad():
        part.parameters["log_scales"][3] = math.log(0.05)
    (given,) = contributions(Model([part], Cameras({}), 0.0), (frame(view),), 1)
    assert given[3:].tolist() == [0.0, 0.0]
    assert float(given[0]) == pytest.approx(0.999 * SIZE * SIZE, rel=1e-3)
    # From the other side it is not hidden, and the most of all views counts; one view alone is the first.
    both = (frame(view), frame(camera(math.pi, 0.0, SIZE)))
    model = Model([part], Cameras({}), 0.0)
    (most,) = contributions(model, both, 2)
    assert float(most[3]) == pytest.approx(alone(part, slice(3, 4), both[1].camera), rel=1e-4)
    assert float(most[4]) == 0.0
    torch.testing.assert_close(most[0], given[0])
    torch.testing.assert_close(contributions(model, both, 1)[0], given)


def test_parts_hide_each_other_and_nothing_is_learned():
    view = camera(0.0, 0.0, SIZE)
    front, back = row("front", [1.0], 0.2, 0.6), row("back", [0.0, -1.0], 0.2, 0.6)
    whole = row("row", [1.0, 0.0, -1.0], 0.2, 0.6)
    # The nearest part need not be the first.
    given = contributions(Model([back, front], Cameras({}), 0.0), (frame(view),), 3)
    (wanted,) = contributions(Model([whole], Cameras({}), 0.0), (frame(view),), 1)
    torch.testing.assert_close(torch.cat([given[1], given[0]]), wanted)
    assert all(value.grad is None for part in (front, back) for value in part.parameters.values())
