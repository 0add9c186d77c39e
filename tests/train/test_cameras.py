"""Corrections of cameras: nothing at first, what they turn, shift and zoom, and frames that are kept out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recon4d.core import quaternion
from recon4d.train import Capture
from recon4d.train.cameras import CAMERA_NAMES, Cameras

CPU = torch.device("cpu")


@pytest.fixture
def cameras(two: Capture) -> Cameras:
    return Cameras.start(replace(two, refine_cameras=True), CPU)


def test_at_first_nothing_is_corrected(two: Capture, cameras: Cameras):
    for index, given in enumerate(two.cameras):
        found = cameras.corrected(index, given)
        torch.testing.assert_close(found.K, given.K, atol=0, rtol=0)
        torch.testing.assert_close(found.cam_from_world, given.cam_from_world, atol=1e-7, rtol=0)
        assert (found.width, found.height) == (given.width, given.height)
        assert cameras.smoothness(index, 1.0).item() == 0.0


def test_trusted_cameras_have_no_corrections(two: Capture):
    trusted = Cameras.start(two, CPU)
    assert trusted.parameters == {}
    assert trusted.corrected(3, two.cameras[3]) is two.cameras[3]
    for given, found in zip(two.cameras, trusted.frozen(two), strict=True):
        assert torch.equal(given.cam_from_world, found.cam_from_world)


def test_a_correction_turns_shifts_and_zooms_in_the_cameras_frame(two: Capture, cameras: Cameras):
    turn, shift = torch.tensor([0.1, -0.2, 0.05]), torch.tensor([0.3, 0.0, -0.1])
    with torch.no_grad():
        cameras.parameters["camera_turns"][4] = turn
        cameras.parameters["camera_shifts"][4] = shift
        cameras.parameters["log_focal"][0] = 0.2
    given, found = two.cameras[4], cameras.corrected(4, two.cameras[4])
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    before = points @ given.cam_from_world[:3, :3].T + given.cam_from_world[:3, 3]
    after = points @ found.cam_from_world[:3, :3].T + found.cam_from_world[:3, 3]
    torch.testing.assert_close(after, quaternion.rotate(quaternion.exp(turn), before) + shift, atol=1e-5, rtol=0)
    assert torch.equal(found.K[:2, 2], given.K[:2, 2])
    torch.testing.assert_close(found.K.diagonal()[:2], given.K.diagonal()[:2] * torch.tensor(0.2).exp())
    assert torch.equal(found.cam_from_world[3], torch.tensor([0.0, 0.0, 0.0, 1.0]))
    # The others are zoomed alike and stay where they are.
    other = cameras.corrected(5, two.cameras[5])
    torch.testing.assert_close(other.cam_from_world, two.cameras[5].cam_from_world, atol=1e-7, rtol=0)
    torch.testing.assert_close(other.K, found.K)


def test_every_correction_has_a_gradient_at_the_start(two: Capture, cameras: Cameras):
    found = cameras.corrected(4, two.cameras[4])
    pixels, _ = found.project(torch.tensor([[0.2, 0.1, 0.3], [-0.3, 0.2, -0.1]]))
    pixels.square().sum().backward()
    for name in CAMERA_NAMES:
        gradient = cameras.parameters[name].grad
        assert gradient is not None
        assert bool(gradient.isfinite().all())
        touched = gradient.abs().flatten(1).sum(1) if gradient.dim() == 2 else gradient.abs()
        assert touched.nonzero()[:, 0].tolist() == ([4] if gradient.dim() == 2 else [0])


def test_roughness_costs_more_than_a_common_drift(cameras: Cameras):
    with torch.no_grad():
        cameras.parameters["camera_turns"][:] = torch.linspace(-0.1, 0.1, 15)[:, None]
    drift = sum(float(cameras.smoothness(i, 1.0)) for i in range(1, 14))
    with torch.no_grad():
        cameras.parameters["camera_turns"] *= torch.tensor([1.0, -1.0]).repeat(8)[:15, None]
    rough = sum(float(cameras.smoothness(i, 1.0)) for i in range(1, 14))
    assert 0 < drift < 0.1 * rough
    # Shifts count in sizes of the subject.
    with torch.no_grad():
        cameras.parameters["camera_turns"][:] = 0
        cameras.parameters["camera_shifts"][3] = 0.5
    assert float(cameras.smoothness(3, 2.0)) == pytest.approx(float(cameras.smoothness(3, 1.0)) / 4)


def test_frames_that_are_kept_out_follow_their_neighbours(two: Capture, cameras: Cameras):
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name in ("camera_turns", "camera_shifts"):
            cameras.parameters[name] += 0.1 * torch.randn(15, 3, generator=generator)
        cameras.parameters["log_focal"] += 0.1
    before = {name: value.detach().clone() for name, value in cameras.parameters.items()}
    frozen = cameras.frozen(replace(two, refine_cameras=True))
    assert len(frozen) == 15
    expected = Cameras({name: value.clone() for name, value in before.items()})
    for index in (2, 7, 12):
        assert not two.fitted[index]
        for name in ("camera_turns", "camera_shifts"):
            # Times are evenly spaced, so in the middle between both.
            expected.parameters[name][index] = 0.5 * (before[name][index - 1] + before[name][index + 1])
    for index, found in enumerate(frozen):
        wanted = expected.corrected(index, two.cameras[index])
        torch.testing.assert_close(found.cam_from_world, wanted.cam_from_world, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.K, wanted.K)
        assert not found.cam_from_world.requires_grad
    assert all(torch.equal(before[name], value) for name, value in cameras.parameters.items())


def test_kept_out_frames_at_the_ends_follow_the_nearest(two: Capture, cameras: Cameras):
    with torch.no_grad():
        cameras.parameters["camera_shifts"] += torch.arange(15.0)[:, None]
    ends = replace(two, refine_cameras=True, fitted=(False, *(True,) * 13, False))
    frozen = cameras.frozen(ends)
    for index, known in ((0, 1.0), (14, 13.0)):
        shift = frozen[index].cam_from_world[:3, 3] - two.cameras[index].cam_from_world[:3, 3]
        torch.testing.assert_close(shift, torch.full((3,), known), atol=1e-5, rtol=0)
