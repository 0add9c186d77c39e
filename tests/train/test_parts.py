"""Parts of a scene: what is trained is what is saved, for every way of moving."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

from recon4d.core import SE3Spline, Surfels, quaternion, rigid
from recon4d.train.backdrop import Backdrop
from recon4d.train.hull import Hull
from recon4d.train.model import merged
from recon4d.train.moving_object import MovingObject, create_object
from recon4d.train.part import Part, as_leaves, logit, nearest_surfels, surfel_parameters

TIMES = [0.1 * i for i in range(11)]
EYE = torch.eye(4)


def moving(bones: int, blend: Literal["linear", "dual_quaternion"] = "linear", count: int = 60) -> MovingObject:
    """An object all of whose parameters have been shaken."""
    generator = torch.Generator().manual_seed(3)
    turns = torch.nn.functional.normalize(torch.randn(count, 4, generator=generator), dim=-1)
    hull = Hull(torch.randn(count, 3, generator=generator), turns, torch.rand(count, 3), 0.05, 2.0, 1.0, 1.0)
    root = SE3Spline.constant(torch.tensor([0.6, 0.8, 0.0, 0.0]), torch.tensor([0.3, 0.0, 1.0]), count=6, step=0.4)
    made = create_object(
        "object", hull, root, 0.5, TIMES, bones=bones, opacity=0.7, sh_degree=2, per_control=4.0, blend=blend
    )
    torch.testing.assert_close(made.at(0.5, EYE).surfels.centers, hull.centers, atol=1e-5, rtol=0)
    shake(made, generator)
    return made


def shake(part: Part, generator: torch.Generator) -> None:
    for parameter in part.parameters.values():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)


def poses() -> Tensor:
    """[11, 4, 4] world_from_cam of a camera that goes round."""
    share = torch.linspace(0, 1, 11)
    turns = quaternion.exp(torch.stack([0 * share, share, 0.3 * share], -1))
    return rigid.from_rotation_translation(turns, torch.stack([share, share**2, 1 - share], -1))


def backdrop(frame: Literal["static", "camera"], count: int = 40) -> Backdrop:
    generator = torch.Generator().manual_seed(4)
    turns = torch.nn.functional.normalize(torch.randn(count, 4, generator=generator), dim=-1)
    centers = torch.randn(count, 3, generator=generator)
    values = surfel_parameters(
        centers, turns, torch.full((count, 2), 0.1), torch.rand(count, 3), opacity_logit=logit(0.9), sh_degree=1
    )
    rotations, translations = rigid.to_rotation_translation(poses().double())
    carried = SE3Spline.fit(torch.tensor(TIMES, dtype=torch.float64), rotations, translations, step=0.1)
    made = Backdrop(
        "background",
        "background",
        as_leaves(values, torch.device("cpu")),
        torch.arange(count),
        count,
        3.0,
        nearest_surfels(centers),
        frame=frame,
        carried=carried if frame == "camera" else None,
    )
    shake(made, generator)
    return made


def assert_same(trained: Surfels, saved: Surfels, tolerance: float = 2e-5) -> None:
    # What no warp has turned is not turned.
    still = {"world_from_canonical_wxyz": torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(len(trained), 1)}
    one, two = still | trained.tensors(), still | saved.tensors()
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        other = two[name]
        if name.endswith("wxyz"):
            # A quaternion and its negative are one rotation.
            tensor, other = (quaternion.to_matrix(quaternion.normalize(q)) for q in (tensor, other))
        torch.testing.assert_close(other, tensor.detach(), atol=tolerance, rtol=0)


@pytest.mark.parametrize("blend", ["linear", "dual_quaternion"])
@pytest.mark.parametrize("bones", [1, 3, 9])
def test_an_object_is_saved_as_it_is_trained(bones: int, blend: Literal["linear", "dual_quaternion"]):
    part = moving(bones, blend)
    frozen = part.frozen_field()
    for time in (0.0, 0.37, 1.0):
        assert_same(part.at(time, EYE).surfels, frozen.at(time))
    torch.testing.assert_close(part.weights().sum(-1), torch.ones(60))
    assert float(part.weights()[:, bones:].abs().sum()) == 0.0
    posed = part.at(0.37, EYE)
    assert posed.bone_rotations is not None
    turns, shifts = part.warp().transforms_at(torch.tensor([0.37], dtype=torch.float64))
    torch.testing.assert_close(
        quaternion.to_matrix(posed.bone_rotations), quaternion.to_matrix(turns[0]), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(posed.bone_translations, shifts[0], atol=1e-5, rtol=0)


def test_a_frozen_field_stays_as_it_is():
    part = moving(4)
    frozen = part.frozen_field()
    before = frozen.at(0.37)
    for parameter in part.parameters.values():
        parameter.data += 1
    part.ids += 1
    assert_same(before, frozen.at(0.37), 0.0)
    assert torch.equal(frozen.ids, torch.arange(60))
    assert not any(tensor.requires_grad for tensor in frozen.at(0.37).tensors().values())


def test_a_still_background_is_saved_as_it_is_trained():
    part = backdrop("static")
    assert_same(part.at(0.3, poses()[3]).surfels, part.frozen_field().at(0.3))


def test_a_background_before_the_camera_is_saved_as_it_is_trained():
    part = backdrop("camera")
    frozen = part.frozen_field()
    for index in (0, 4, 10):
        posed = part.at(TIMES[index], poses()[index])
        # The path through the cameras is a spline that meets them.
        assert_same(posed.surfels, frozen.at(TIMES[index]), 2e-3)
        in_cam = rigid.transform_points(rigid.invert(poses()[index]), posed.surfels.centers)
        torch.testing.assert_close(in_cam, posed.canonical.centers, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "part", [moving(4), backdrop("static"), backdrop("camera")], ids=["object", "static", "camera"]
)
def test_places_are_those_of_every_moment_and_move_no_shape(part: Part):
    centers, rotations = part.places((TIMES[2], TIMES[7]), poses()[[2, 7]])
    for row, index in enumerate((2, 7)):
        posed = part.at(TIMES[index], poses()[index]).surfels
        torch.testing.assert_close(centers[row], posed.centers, atol=1e-5, rtol=0)
        one, other = (quaternion.to_matrix(quaternion.normalize(q)) for q in (rotations[row], posed.rotations_wxyz))
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    if isinstance(part, Backdrop):
        assert not centers.requires_grad
        return
    centers.square().sum().backward()
    touched = {name for name, value in part.parameters.items() if value.grad is not None and value.grad.abs().sum() > 0}
    assert {"bone_rotations", "bone_translations", "root_rotations", "root_translations"} <= touched
    assert not touched & {"centers", "rotations_wxyz", "log_scales", "opacity_logits", "sh_base", "sh_rest"}


def test_the_camera_carries_a_background_without_learning_from_it():
    pose = poses()[3].clone().requires_grad_()
    posed = backdrop("camera").at(0.3, pose)
    posed.surfels.centers.sum().backward()
    assert pose.grad is None


def test_several_parts_say_whose_a_surfel_is():
    parts = [moving(2, count=20), moving(3, count=30), backdrop("static", 10)]
    posed = [part.at(0.2, EYE) for part in parts]
    states = [one.surfels for one in posed]
    together = merged(states, 2)
    assert together.features is not None
    assert together.features.sum(0).tolist() == [20.0, 30.0]
    assert together.features[20:50, 1].tolist() == [1.0] * 30
    torch.testing.assert_close(together.centers[20:50], states[1].centers)
    assert merged(states[:1], 1) is states[0]
    assert merged(states[1:], 0).features is None
    assert merged([states[2]], 0) is states[2]


def test_neighbours_are_the_nearest_others():
    line = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [2.1, 0, 0], [3.3, 0, 0]])
    assert nearest_surfels(line).tolist() == [[1, 2, 3], [0, 2, 3], [1, 3, 0], [2, 1, 0]]
    assert nearest_surfels(line[:1]).shape[0] == 1
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(1))
    found = torch.cdist(points.double(), points.double()).fill_diagonal_(9).topk(6, largest=False).indices
    assert torch.equal(nearest_surfels(points), found)
