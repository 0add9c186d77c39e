"""The cameras of a scene beside those of the data set: which belong together, and where a view is in the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from recon4d.core import Camera, InputError, quaternion
from recon4d.core.rigid import Similarity
from recon4d.data.view import View
from recon4d.evaluate.cameras import CameraErrors, align_cameras, camera_errors, move_camera
from recon4d.scene import Scene

# Cameras closer than this are the truth's own, written to a file and read again.
_SAME_DEGREES, _SAME_SHARE = 1e-3, 1e-5
SAME_TIME = 1e-4  # seconds
_SAME_LENS = 1e-4


@dataclass(frozen=True, eq=False)
class SceneFrame:
    """How the scene's frame lies in the data set's.

    Attributes:
        truth_from_scene: similarity; None for the identity.
        errors: of the scene's cameras after alignment; None where no camera could be paired.
        note: what was done, in a sentence or two for the report.
        lens: focal lengths of the scene's cameras in true ones, where it found its own.
        moments: (seconds, similarity) where the scene is placed anew at every moment; see `scene_moments`.
    """

    truth_from_scene: Similarity | None
    errors: CameraErrors | None
    note: str
    lens: float = 1.0
    moments: tuple[tuple[float, Similarity], ...] = ()

    def similarity(self, time: float) -> Similarity | None:
        """truth_from_scene at a time; None for the identity."""
        if not self.moments:
            return self.truth_from_scene
        return min(self.moments, key=lambda moment: abs(moment[0] - time))[1]

    def scene_camera(self, camera: Camera, time: float) -> Camera:
        """A camera of the data set as it stands in the scene's frame, with the lens that the scene was made with.

        A lens that is too long and a subject that is as much too small, or too far away, give almost the same pictures:
        who finds both is asked for pictures by the lens found, as in NeRF-- (Wang et al. 2021).
        """
        similarity = self.similarity(time)
        if similarity is None:
            return camera
        K = camera.K.clone()
        K[0, 0], K[1, 1] = K[0, 0] * self.lens, K[1, 1] * self.lens
        return move_camera(Camera(K, camera.cam_from_world, camera.width, camera.height), similarity.inverse())


def locate(scene: Scene, views: Sequence[View], *, align: bool) -> SceneFrame:
    """Pairs cameras by time and, where they differ and `align` is set, finds the one similarity between the frames.

    With several cameras at a time, the one (by camera id) nearest to the scene's own before alignment is meant.
    """
    pairs = pair_cameras(scene, views)
    if not pairs:
        return SceneFrame(None, None, "No camera of the scene could be paired with one of the data set by time.")
    _, own, truth = zip(*pairs, strict=True)
    if _same(own, truth):
        return SceneFrame(
            None, camera_errors(own, truth), "The scene uses the data set's cameras: nothing was aligned."
        )
    if not align:
        return SceneFrame(None, camera_errors(own, truth), "The scene's cameras differ from the truth's; not aligned.")
    similarity = align_cameras(own, truth)
    moved = [move_camera(camera, similarity) for camera in own]
    note = (
        f"The scene was aligned to the truth once, by a similarity on {len(pairs)} cameras "
        f"(scale {float(similarity.scale):.4g})."
    )
    lens = _lens(own, truth)
    if abs(lens - 1) > _SAME_LENS:
        note += f" Its lens is {lens:.4g} times as long as the true one; images are drawn with its own."
    return SceneFrame(similarity, camera_errors(moved, truth), note, lens)


def _lens(own: Sequence[Camera], truth: Sequence[Camera]) -> float:
    """Median ratio of focal lengths, both in widths of their images."""
    ratios = [float(a.K[0, 0] / a.width / (b.K[0, 0] / b.width)) for a, b in zip(own, truth, strict=True)]
    return float(torch.tensor(ratios, dtype=torch.float64).median())


def camera_at(scene: Scene, time: float) -> Camera:
    """The scene's own camera at a time: of that frame, or between two frames by slerp and linear motion of the centre.

    Intrinsics are those of the nearer frame; times outside the frames take the first or last camera.

    Raises:
        InputError: the scene has no cameras.
    """
    if not scene.cameras:
        raise InputError(
            "scene.cameras", expected="a camera for each frame", got="none", fix="give a data set with cameras"
        )
    times = scene.frame_times
    after = int(torch.searchsorted(times, torch.tensor(time, dtype=torch.float64)))
    if after == 0 or after == len(times):
        return scene.cameras[min(after, len(times) - 1)]
    first, second = scene.cameras[after - 1], scene.cameras[after]
    share = (time - float(times[after - 1])) / float(times[after] - times[after - 1])
    nearer = first if share < 0.5 else second
    turns = [quaternion.from_matrix(c.cam_from_world[:3, :3].double()) for c in (first, second)]
    turn = quaternion.to_matrix(quaternion.slerp(turns[0], turns[1], torch.tensor(share, dtype=torch.float64)))
    center = torch.lerp(first.center_in_world.double(), second.center_in_world.double(), share)
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3], pose[:3, 3] = turn, -turn @ center
    return Camera(nearer.K.double(), pose, nearer.width, nearer.height)


def pair_cameras(scene: Scene, views: Sequence[View]) -> list[tuple[float, Camera, Camera]]:
    """(seconds, the scene's camera, the data set's) at all times that both have, for one camera of the data set."""
    by_camera: dict[str, list[tuple[float, Camera]]] = {}
    for view in views:
        if view.camera is not None:
            by_camera.setdefault(view.camera_id, []).append((view.time, view.camera))
    candidates = []
    for known in by_camera.values():
        pairs = []
        for time, camera in zip(scene.frame_times.tolist(), scene.cameras, strict=True):
            distance, _, match = min((abs(t - time), i, c) for i, (t, c) in enumerate(known))
            if distance <= SAME_TIME:
                pairs.append((time, camera, match))
        if pairs:
            candidates.append(pairs)
    return min(candidates, key=_mismatch) if candidates else []


def _mismatch(pairs: list[tuple[float, Camera, Camera]]) -> tuple[int, float]:
    """More pairs first, then the smaller mean rotation error."""
    _, own, truth = zip(*pairs, strict=True)
    return -len(pairs), camera_errors(own, truth).rotation_deg


def _same(own: Sequence[Camera], truth: Sequence[Camera]) -> bool:
    centers = [torch.stack([c.center_in_world.double() for c in cameras]) for cameras in (own, truth)]
    size = float(centers[1].norm(dim=-1).max().clamp_min(1e-12))
    moved = float((centers[0] - centers[1]).norm(dim=-1).max()) / size
    return moved < _SAME_SHARE and camera_errors(own, truth).rotation_deg < _SAME_DEGREES
