"""How far a subject is from the camera, from the background around and behind it.

A subject that stands on the ground is as far away as the ground at its feet, and never farther than what it hides: the
points of the background, solved in other frames, that lie behind its mask.  A subject that is put too far away sinks
into the ground or stands behind the wall, and what is hidden there is never fitted; one that is a little too near looks
the same from where it was filmed.  So estimates lean to the near side.  Does NOT find poses.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, UInt8

from recon4d.core import Camera, SE3Spline
from recon4d.data.motion import CameraSolution, Clip

_SUBJECT = 128
_NEAR_FEET = 12  # points of the background that tell a depth
_FEET_PERCENT, _HIDDEN_PERCENT = 25.0, 10.0
_LEAST_HIDDEN = 5
_MOST_FRAMES = 120  # that are looked at
_SMOOTH_SHARE = 0.12  # of the frames looked at
_LEAST_KNOWN = 0.3  # of them
_MARGIN = 0.95  # what is seen of a body is not behind its middle
_LEAST_PARALLAX_DEGREES = 25.0
_CONTROLS_A_CLIP = 8


def depths(
    clip: Clip, masks: UInt8[np.ndarray, "t h w"], solution: CameraSolution
) -> tuple[Float64[np.ndarray, " r"], Float64[np.ndarray, " r"]]:
    """Frames (as numbers) and the subject's depth before the camera in them, scene units; none where nothing tells.

    Args:
        clip: frames.
        masks: of the one subject.
        solution: cameras in a world with points of the background.
    """
    points = torch.from_numpy(np.asarray(solution.points)).double()
    rows = np.unique(np.linspace(0, len(clip) - 1, _MOST_FRAMES).round().astype(int))
    if len(points) < _NEAR_FEET:
        return np.zeros(0), np.zeros(0)
    found = np.array([_depth(solution.cameras[row], points, np.asarray(masks[row]) >= _SUBJECT) for row in rows])
    known = np.isfinite(found)
    if known.sum() < max(1, _LEAST_KNOWN * len(rows)):
        return np.zeros(0), np.zeros(0)
    return rows[known].astype(np.float64), _steady(found[known])


def _depth(camera: Camera, points: torch.Tensor, mask: Bool[np.ndarray, "h w"]) -> float:
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return np.nan
    pixels, depth = (x.numpy() for x in camera.to(torch.float64).project(points))
    at = np.floor(np.nan_to_num(pixels, nan=-1.0, posinf=-1.0, neginf=-1.0)).clip(-1, 1 << 20).astype(int)
    inside = (depth > 0) & (at >= 0).all(1) & (at[:, 0] < camera.width) & (at[:, 1] < camera.height)
    if inside.sum() < _NEAR_FEET:
        return np.nan
    at, pixels, depth = at[inside], pixels[inside], depth[inside]
    # Rows count double: what is above the feet is farther away.
    away = (pixels - [columns.mean() + 0.5, rows.max() + 0.5]) * [1.0, 2.0]
    near = np.argsort(np.hypot(away[:, 0], away[:, 1]), kind="stable")[:_NEAR_FEET]
    result = float(np.percentile(depth[near], _FEET_PERCENT))
    hidden = depth[mask[at[:, 1], at[:, 0]]]
    if len(hidden) >= _LEAST_HIDDEN:
        result = min(result, float(np.percentile(hidden, _HIDDEN_PERCENT)))
    return result


def _steady(values: Float64[np.ndarray, " r"]) -> Float64[np.ndarray, " r"]:
    """Without outliers and noise: logarithms, median and mean over neighbours in time."""
    from scipy import ndimage

    width = max(1, round(_SMOOTH_SHARE * len(values)))
    logs = ndimage.median_filter(np.log(values), size=2 * (width // 2) + 1, mode="nearest")
    return np.exp(ndimage.gaussian_filter1d(logs, max(0.5, width / 3), mode="nearest"))


def standing_path(clip: Clip, masks: UInt8[np.ndarray, "t h w"], solution: CameraSolution) -> SE3Spline | None:
    """World_from_root of a subject that does not turn: along the rays through the middles of its masks.

    None where nothing tells how far away it is, or where it is seen from one side only.
    """
    frames, depth = depths(clip, masks, solution)
    if len(frames) < 4:
        return None
    rows = frames.astype(int).tolist()
    places = torch.stack([_place(solution.cameras[t], masks[t], float(d)) for t, d in zip(rows, depth, strict=True)])
    eyes = torch.stack([solution.cameras[t].center_in_world.double() for t in rows])
    seen = torch.nn.functional.normalize(eyes - places, dim=1)
    widest = float(torch.rad2deg(torch.arccos((seen @ seen.T).clamp(-1, 1)).max()))
    if widest < _LEAST_PARALLAX_DEGREES:
        return None
    unturned = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64).repeat(len(places), 1)
    times = torch.from_numpy(np.array(clip.times)[rows])
    step = max(float(times[-1] - times[0]) / _CONTROLS_A_CLIP, 1e-3)
    return SE3Spline.fit(times, unturned, places, step=step).to(torch.float32)


def centred(clip: Clip, masks: UInt8[np.ndarray, "t h w"], solution: CameraSolution) -> CameraSolution:
    """The same solution with the subject at the world's origin in the middle of the clip, where its place is known.

    What has no other sign of how far away it is stands at the distance of the origin.
    """
    frames, depth = depths(clip, masks, solution)
    if not len(frames):
        return solution
    k = int(np.abs(frames - len(clip) // 2).argmin())
    row = int(frames[k])
    place = _place(solution.cameras[row], masks[row], float(depth[k]))
    cameras = []
    for camera in solution.cameras:
        moved = camera.cam_from_world.double().clone()
        moved[:3, 3] += moved[:3, :3] @ place
        cameras.append(replace(camera, cam_from_world=moved))
    return replace(solution, cameras=tuple(cameras), points=solution.points - place.numpy())


def _place(camera: Camera, mask: UInt8[np.ndarray, "h w"], depth: float) -> Float[torch.Tensor, " 3"]:
    """The world point on the ray through a mask's middle at about a depth."""
    rows, columns = np.nonzero(np.asarray(mask) >= _SUBJECT)
    camera = camera.to(torch.float64)
    middle = torch.tensor([columns.mean() + 0.5, rows.mean() + 0.5, 1.0], dtype=torch.float64)
    in_cam = _MARGIN * depth * (torch.linalg.inv(camera.K) @ middle)
    return camera.cam_from_world[:3, :3].T @ (in_cam - camera.cam_from_world[:3, 3])
