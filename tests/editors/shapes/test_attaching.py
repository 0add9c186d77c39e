"""Attaching: the pose of what is attached, seen from the bone, never changes."""

from __future__ import annotations

import pytest
import torch

from recon4d.core import InputError, quaternion
from recon4d.editors.shapes import attach_to_bone, bone_frames, bone_near, place, pose_on_bone, similarity
from recon4d.synthetic import creature_field
from tests.editors.shapes.fields import DURATION, KINDS, field

TIMES = torch.linspace(-0.1, DURATION + 0.1, 25, dtype=torch.float64)
POSE = similarity(0.4, (0.9, 0.1, -0.3, 0.2), (0.1, 0.2, -0.3))


@pytest.mark.parametrize("carrier", ["rigid", "bones", "rooted", "residual"])
@pytest.mark.parametrize("bone", [2, "root"])
@pytest.mark.parametrize("kind", KINDS)
def test_pose_in_the_frame_of_the_bone_is_that_of_the_placed_asset(kind: str, bone: int | str, carrier: str) -> None:
    carries, asset = field(carrier), field(kind)
    if (carrier, bone) in (("rigid", 2), ("bones", "root")):
        with pytest.raises(InputError, match="bone: expected"):
            attach_to_bone(asset, carries, bone, POSE)
        return
    attached = attach_to_bone(asset, carries, bone, POSE)
    rotations, translations = bone_frames(carries, bone, TIMES)
    moved, expected = attached.at_times(TIMES), place(asset, POSE).at_times(TIMES)
    back = quaternion.conjugate(rotations)[:, None]
    in_bone = quaternion.rotate(back, moved.centers - translations[:, None])
    # The law is 1e-4; a thing that stands still rides on the very splines, so only rounding is left.
    tolerance = 1e-12 if kind == "identity" else 1e-4
    assert (in_bone - expected.centers).abs().max() < tolerance
    turned = quaternion.to_matrix(quaternion.multiply(back.expand(-1, 60, -1), moved.rotations_wxyz))
    assert (turned - quaternion.to_matrix(expected.rotations_wxyz)).abs().max() < tolerance
    assert torch.equal(attached.ids, asset.ids)


def test_the_frame_of_a_bone_is_that_of_the_warp() -> None:
    carrier = field("rooted")
    rotations, translations = carrier.warp.poses_at(TIMES)
    found = bone_frames(carrier, 1, TIMES)
    old, new = (quaternion.to_matrix(turns) for turns in (rotations[:, 1], found[0]))
    torch.testing.assert_close(new, old, atol=1e-12, rtol=0)
    torch.testing.assert_close(found[1], translations[:, 1], atol=1e-12, rtol=0)


def test_attaching_where_it_stands_leaves_it_there_at_that_time() -> None:
    carrier, hat = field("rooted"), field("identity")
    world_from_hat = similarity(1.0, (0.1, 0.2, 0.3, 0.9), (1.0, 2.0, 3.0))
    attached = attach_to_bone(hat, carrier, 1, pose_on_bone(carrier, 1, 0.4, world_from_hat))
    assert (attached.at(0.4).centers - place(hat, world_from_hat).at(0.4).centers).abs().max() < 1e-12


def test_a_hat_keeps_its_place_among_the_surfels_of_the_head() -> None:
    quadruped = creature_field("quadruped", 4000)
    start = quadruped.at(0.0).centers
    nose = start[start[:, 0].argmax()]
    head = bone_near(quadruped, nose, 0.0)
    assert isinstance(head, int)
    hat = field("identity").to(torch.float32)
    attached = attach_to_bone(hat, quadruped, head, pose_on_bone(quadruped, head, 0.0, similarity(0.05)))
    # Surfels that follow the head alone are rigid with the hat.
    warp = quadruped.warp
    alone = (warp.weights * (warp.weight_indices == head)).sum(1) > 0.999999
    assert alone.sum() > 50
    times = torch.linspace(0, 2, 9).tolist()
    distance = torch.stack([torch.cdist(attached.at(t).centers, quadruped.at(t).centers[alone]) for t in times])
    assert (distance - distance[0]).abs().max() < 1e-4


def test_what_cannot_carry_is_refused() -> None:
    with pytest.raises(InputError, match="moved by bones or rigidly"):
        attach_to_bone(field("rigid"), field("identity"), 0, POSE)
    with pytest.raises(InputError, match='0 to 2 or "root", got 3'):
        attach_to_bone(field("identity"), field("rooted"), 3, POSE)
    with pytest.raises(InputError, match="got True"):
        bone_frames(field("bones"), True, TIMES)
