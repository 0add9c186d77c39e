"""A scene's surface and motion against the true meshes of a synthetic data set.

The surface of a scene is that of its surfels: the disc of one standard deviation of every surfel, drawn in proportion
to opacity times area.  Points of it ride on their surfel.  Background layers are left out, unless there is nothing
else. Times are those of the true meshes, at most `Settings.geometry_frames` of them, spread evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from recon4d.core import InputError, Surfels, quaternion
from recon4d.core.rigid import Similarity
from recon4d.data.dataset import Dataset
from recon4d.evaluate.actionbench import actionbench_scores
from recon4d.evaluate.emd import earth_movers
from recon4d.evaluate.mesh_files import read_mesh
from recon4d.evaluate.protocols import Settings
from recon4d.evaluate.scene_cameras import SceneFrame
from recon4d.evaluate.shape import chamfer_dgmesh, compare_surfaces
from recon4d.evaluate.surfaces import Mesh, Surface, disc_surface, mesh_surface, sample_mesh
from recon4d.evaluate.tracks import carry_points, track_scores
from recon4d.scene import Scene, merge_surfels

VERTEX_OPACITY = 0.5  # surfels at least this opaque stand for vertices in DG-Mesh's Chamfer distance
CARRIER_OPACITY = 0.1  # surfels at least this opaque carry tracked points

EMD_GAP = 0.05  # certified; what is found is within 1 % of the optimum as a rule


def spread(count: int, most: int) -> list[int]:
    """At most `most` of the indices 0 to count - 1, evenly, the first and the last among them."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(most, count))})


class SubjectTruth:
    """The true meshes that are scored, in the data set's frame.

    Attributes:
        times: [T] seconds.
        meshes: T meshes.
        indices: their places among all true meshes.
        diagonal: mean over these times of the diagonal of the bounding box; what percents are percents of.
    """

    def __init__(self, dataset: Dataset, most: int) -> None:
        files = dataset.mesh_files()
        self.indices = spread(len(files), most)
        self.total = len(files)
        self.times = [files[i][0] for i in self.indices]
        raw = [read_mesh(files[i][1]) for i in self.indices]
        center = np.array(dataset.center)
        self.meshes = [Mesh((mesh.vertices - center) * dataset.scale, mesh.faces) for mesh in raw]
        self.diagonal = float(np.mean([mesh.diagonal for mesh in self.meshes])) if files else 0.0

    def tracks(self, count: int, seed: int) -> Float[np.ndarray, "t n 3"] | None:
        """`count` points spread over the first mesh, followed; None where the topology changes or for one time only."""
        first = self.meshes[0]
        if len(self.meshes) < 2 or any(
            mesh.faces.shape != first.faces.shape or (mesh.faces != first.faces).any() for mesh in self.meshes
        ):
            return None
        faces, weights = sample_mesh(first, count, np.random.default_rng(seed))
        return np.stack([np.einsum("nk,nkd->nd", weights, mesh.vertices[mesh.faces[faces]]) for mesh in self.meshes])


def subject_at(scene: Scene, time: float, truth_from_scene: Similarity | None) -> Surfels:
    """The surfels of the object layers (all layers, if none is an object) at a time, in the truth's frame; float64."""
    layers = [layer for layer in scene.layers if layer.kind == "object"] or scene.layers
    surfels = merge_surfels([layer.field.at(time) for layer in layers]).to("cpu", torch.float64)
    if truth_from_scene is None:
        return surfels
    return surfels.replace(
        centers=truth_from_scene.transform_points(surfels.centers),
        rotations_wxyz=quaternion.multiply(
            quaternion.normalize(truth_from_scene.rotation_wxyz.double()), surfels.rotations_wxyz
        ),
        scales=surfels.scales * truth_from_scene.scale.double(),
    )


def surfel_surface(surfels: Surfels, samples: int, seed: int) -> Surface:
    """The discs of one standard deviation; the same seed at another time gives the same material points."""
    axes = quaternion.to_matrix(quaternion.normalize(surfels.rotations_wxyz))
    return disc_surface(
        surfels.centers.numpy(),
        axes[:, :, :2].transpose(1, 2).numpy(),
        surfels.scales.numpy(),
        surfels.opacities.numpy(),
        samples,
        seed,
    )


def geometry_scores(
    states: Sequence[Surfels], truth: SubjectTruth, meshes: Sequence[Mesh] | None, settings: Settings
) -> dict[str, float]:
    """Means over time of Chamfer in both forms, EMD, F-score and normal error; CD-3D, CD-4D and CD-M of the surfels.

    Args:
        states: the subject at the truth's times, in the truth's frame.
        truth: the true meshes.
        meshes: the prediction's own meshes at these times, in the truth's frame, scored instead of the surfels' discs.
        settings: numbers of samples, seed.
    """
    scores, squared, movers = [], [], []
    with_movers = set(spread(len(states), settings.emd_frames))
    samples = []
    for index, (state, true_mesh) in enumerate(zip(states, truth.meshes, strict=True)):
        true_surface = mesh_surface(true_mesh, settings.samples, settings.seed)
        surface = surfel_surface(state, settings.samples, settings.seed)
        samples.append(surface.points)
        vertices = state.centers[state.opacities >= VERTEX_OPACITY].numpy()
        if meshes is not None:
            surface = mesh_surface(meshes[index], settings.samples, settings.seed)
            vertices = meshes[index].vertices
        scores.append(compare_surfaces(surface, true_surface, truth.diagonal))
        if len(vertices):
            squared.append(chamfer_dgmesh(vertices, true_mesh.vertices))
        if index in with_movers:
            points = mesh_surface(true_mesh, settings.emd_samples, settings.seed).points
            own = (
                surfel_surface(state, settings.emd_samples, settings.seed)
                if meshes is None
                else mesh_surface(meshes[index], settings.emd_samples, settings.seed)
            )
            movers.append(earth_movers(own.points, points, relative_gap=EMD_GAP).distance)
    result = {
        "chamfer_percent": float(np.mean([s.chamfer_percent for s in scores])),
        "f_score": float(np.mean([s.f_score for s in scores])),
        "normal_error_deg": float(np.mean([s.normal_error_deg for s in scores])),
        "emd": float(np.mean(movers)),
    }
    if len(squared) == len(scores):
        result["chamfer_dgmesh"] = float(np.mean(squared))
    followed = truth.tracks(settings.samples, settings.seed)
    if followed is not None:
        animated = actionbench_scores(np.stack(samples), followed, any_orientation=settings.any_orientation)
        result |= {"cd_3d": animated.cd_3d, "cd_4d": animated.cd_4d, "cd_m": animated.cd_m}
    return result


def motion_scores(states: Sequence[Surfels], truth: SubjectTruth, settings: Settings) -> dict[str, float]:
    """Track error and deltas of points that start on the truth at the first time; empty if none can be followed."""
    followed = truth.tracks(settings.track_points, settings.seed)
    if followed is None:
        return {}
    usable = (states[0].opacities >= CARRIER_OPACITY).numpy()
    if not usable.any():
        return {}
    centers = torch.stack([state.centers for state in states])
    rotations = torch.stack([state.rotations_wxyz for state in states])
    scores = track_scores(
        carry_points(followed[0], centers, rotations, 0, usable), followed, truth.diagonal, reference=0
    )
    return {"track_error_percent": scores.error_percent, "delta_5": scores.delta_5, "delta_10": scores.delta_10}


def own_meshes(folder: Path, truth: SubjectTruth, frame: SceneFrame) -> list[Mesh]:
    """The prediction's meshes (*.ply, by name) at the scored times, moved to the truth's frame.

    Raises:
        InputError: not as many as true meshes, or one cannot be read.
    """
    files = sorted(folder.glob("*.ply"))
    if len(files) != truth.total:
        raise InputError(
            str(folder),
            expected=f"{truth.total} .ply files, one for each true mesh",
            got=str(len(files)),
            fix="export all times",
        )
    return [
        _moved(read_mesh(files[i]), frame.similarity(time)) for i, time in zip(truth.indices, truth.times, strict=True)
    ]


def _moved(mesh: Mesh, similarity: Similarity | None) -> Mesh:
    if similarity is None:
        return mesh
    return Mesh(similarity.transform_points(torch.from_numpy(mesh.vertices)).numpy(), mesh.faces)
