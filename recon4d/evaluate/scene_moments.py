"""Where a scene stands at every moment, for clips that do not tell how the subject moves through the world.

A video of a subject before a plain background, without cameras, shows how the subject moves relative to the camera and
nothing else: walking on and a camera that follows, turning and a camera that goes around, are the same pictures.  So a
scene made from it is compared moment by moment: the camera that filmed the moment is put where it truly stood, and
looks at the subject from the true distance.  One size is found for the whole clip.  Rotations, shape, and motion
relative to the camera are compared as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import InputError, Surfels, quaternion, rigid
from recon4d.core.rigid import Similarity
from recon4d.data.dataset import Dataset
from recon4d.data.view import View
from recon4d.evaluate.mesh_files import read_mesh
from recon4d.evaluate.scene_cameras import SAME_TIME, SceneFrame, locate, pair_cameras
from recon4d.evaluate.scene_shape import subject_at
from recon4d.evaluate.surfaces import Mesh
from recon4d.scene import Scene


def locate_moments(scene: Scene, dataset: Dataset, views: Sequence[View]) -> SceneFrame:
    """Places the scene at every moment that has a camera in both, and a true mesh.

    Args:
        scene: with its cameras.
        dataset: with the true meshes, which tell how far away the subject is.
        views: of the data set that show what the scene was made from.

    Raises:
        InputError: no such moment.
    """
    meshes = dataset.mesh_files()
    center, found = torch.tensor(dataset.center, dtype=torch.float64), []
    for time, own, truth in pair_cameras(scene, views):
        file = next((path for t, path in meshes if abs(t - time) <= SAME_TIME), None)
        if file is None:
            continue
        mesh = read_mesh(file)
        place = (_middle_of_mesh(mesh) - center) * dataset.scale
        own_pose, true_pose = own.cam_from_world.double(), truth.cam_from_world.double()
        middle = rigid.transform_points(own_pose, _middle_of_surfels(subject_at(scene, time, None)))
        lens = float(own.K[0, 0] / own.width / (truth.K[0, 0] / truth.width))
        found.append((time, own_pose, true_pose, middle, rigid.transform_points(true_pose, place), lens))
    if not found:
        raise InputError(
            str(dataset.root),
            expected="cameras and true meshes at times of the scene, for align=moment",
            got="none",
            fix="use align=auto",
        )
    # Under a lens r times as long the same picture shows something r times as far away.
    sizes = [lens * float(true.norm() / own.norm()) for _, _, _, own, true, lens in found]
    size = float(np.median(sizes))
    moments = tuple((time, _placed(a, b, own, true, size)) for time, a, b, own, true, _ in found)
    note = (
        f"The scene was placed anew at each of {len(found)} moments: the camera that filmed it stands where it truly "
        f"did, at the true distance from the subject. Its size was found once (scale {size:.4g}). "
        "Errors of cameras are those after one similarity."
    )
    return SceneFrame(None, locate(scene, views, align=True).errors, note, moments=moments)


def _placed(
    own_pose: Float[Tensor, "4 4"],
    true_pose: Float[Tensor, "4 4"],
    own_middle: Float[Tensor, " 3"],
    true_middle: Float[Tensor, " 3"],
    size: float,
) -> Similarity:
    """truth_from_scene: into the own camera, to the size, along the view to the true distance, out of the true one."""
    distance = own_middle.norm()
    along = own_middle / distance * (true_middle.norm() - size * distance)
    back = true_pose[:3, :3].T
    turn = back @ own_pose[:3, :3]
    shift = back @ (size * own_pose[:3, 3] + along - true_pose[:3, 3])
    return Similarity(torch.tensor(size, dtype=torch.float64), quaternion.from_matrix(turn), shift)


def _middle_of_mesh(mesh: Mesh) -> Float[Tensor, " 3"]:
    """Mean of the surface, by area."""
    corners = mesh.vertices[mesh.faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return torch.from_numpy(np.average(corners.mean(1), axis=0, weights=areas)).double()


def _middle_of_surfels(surfels: Surfels) -> Float[Tensor, " 3"]:
    """Mean of the centres, by opacity and area."""
    weights = surfels.opacities * surfels.scales.prod(-1)
    return (surfels.centers * (weights / weights.sum())[:, None]).sum(0)
