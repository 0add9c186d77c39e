"""Fills what a removed thing hid of the background.

What other frames saw is in the background already, because it is one layer for all frames.  Left over are the pixels
where the thing was and the background shows nothing: their colours are inpainted, their depth is continued from
around, and new surfels are put there.  Surfels that would hide something that another frame saw are left out.
Invents, and says so: nothing here is a measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from recon4d.core import Camera, InputError, Surfels, quaternion
from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.editors.shapes.inpainting import Inpaint, fill_inverse_depth, harmonic, inpaint_opencv
from recon4d.field import Field, IdentityWarp, Refined, RigidWarp
from recon4d.render import rasterize
from recon4d.scene import merge_surfels

VIEWS = 16
"""Frames that are looked at, spread over the clip."""

_COVERED = 0.6  # alpha from which a pixel of the background counts as seen
_WHOLE = 0.98  # alpha from which nothing of what is behind shows
_SILHOUETTE = 0.03  # alpha of the removed thing from which it counts as hiding
_FEWEST = 4  # pixels of a hole that is worth filling
_MOSTLY = 0.5  # coverage, continued into a hole from around, above which the background goes on there
_IN_FRONT = 0.02  # of the depth: nearer to the camera than this, a new surfel hides what is there
_SCALE = 0.6  # standard deviation in pixels of a surfel that stands for a pixel
_OPACITY = 0.97
_STEEPEST = 8.0  # a surfel is at most this many times as long as wide


def heal_background(
    background: Field,
    removed: Sequence[Field],
    cameras: Sequence[Camera],
    times: Float64[Tensor, " f"],
    *,
    views: int = VIEWS,
    margin: int = 3,
    inpaint: Inpaint = inpaint_opencv,
) -> Field:
    """The background with new surfels behind removed things; ids of the old ones stay, the new ones count on.

    Args:
        background: a layer that stands still or moves rigidly, with sh.
        removed: what was taken out of the scene, whole layers or parts of some.
        cameras, times: of the input frames.
        views: how many frames are looked at.
        margin: pixels by which the silhouettes of the removed things are widened.
        inpaint: where colours come from that no frame saw.

    Raises:
        InputError: a background that bends, without sh, or options out of range.
    """
    patch = heal_patch(background, removed, cameras, times, views=views, margin=margin, inpaint=inpaint)
    if not len(patch):
        return background
    refined = background.refined
    if refined is not None:
        extra = Refined.like(patch.canonical)
        turns, scales = (refined.rotations_wxyz, extra.rotations_wxyz), (refined.scales, extra.scales)
        refined = Refined(torch.cat(turns), torch.cat(scales))
    start = int(background.ids.max()) + 1 if len(background) else 0
    return replace(
        background,
        canonical=merge_surfels([background.canonical, patch.canonical]),
        ids=torch.cat([background.ids, patch.ids + start]),
        refined=refined,
    )


def heal_patch(
    background: Field,
    removed: Sequence[Field],
    cameras: Sequence[Camera],
    times: Float64[Tensor, " f"],
    *,
    views: int = VIEWS,
    margin: int = 3,
    inpaint: Inpaint = inpaint_opencv,
) -> Field:
    """Only the new surfels of `heal_background`, with the background's warp and ids from 0; possibly none."""
    if background.canonical.sh is None or not isinstance(background.warp, IdentityWarp | RigidWarp):
        got = "no sh" if background.canonical.sh is None else type(background.warp).__name__
        raise InputError("background", expected="a layer with sh that does not bend", got=got, fix="choose another")
    if views < 1 or not 0 <= margin <= 100 or len(cameras) != len(times) or not len(times):
        raise InputError(
            "heal",
            expected="at least 1 view, a margin of 0 to 100 pixels, and a camera for every time",
            got=f"{views} views, margin {margin}, {len(cameras)} cameras, {len(times)} times",
            fix="leave the options out",
        )
    chosen = np.unique(np.linspace(0, len(times) - 1, min(views, len(times))).round().astype(int))
    frames = [_look(background, removed, cameras[i], float(times[i]), margin) for i in chosen]
    patch = replace(background.select(torch.zeros(0, dtype=torch.int64, device=background.ids.device)), refined=None)
    # The frame with the largest hole first: it sees most of what is to be invented in one piece.
    for frame in sorted(frames, key=lambda each: -int(each.holes().sum())):
        if not frame.holes().any():
            continue
        with_patch = background if not len(patch) else _joined(background, patch)
        now = _look(with_patch, removed, frame.camera, frame.time, margin) if len(patch) else frame
        found = _fill(now, frames, inpaint)
        if found is not None:
            patch = _joined(patch, _canonical(found, background, frame.time))
    return replace(patch, ids=torch.arange(len(patch), device=patch.ids.device))


@dataclass(frozen=True, eq=False)
class _Frame:
    """What one camera sees: of the background alone, and where removed things hid it."""

    camera: Camera
    time: float
    color: Float[np.ndarray, "h w 3"]
    alpha: Float[np.ndarray, "h w"]
    depth: Float[np.ndarray, "h w"]
    hidden: Bool[np.ndarray, "h w"]

    def seen(self) -> Bool[np.ndarray, "h w"]:
        """Pixels where the background shows."""
        return (self.alpha >= _COVERED) & (self.depth > 0)

    def holes(self) -> Bool[np.ndarray, "h w"]:
        """Pixels to fill: hidden, nothing behind, and nearer to pixels that show the background than to bare sky."""
        from scipy.ndimage import label

        seen = self.seen()
        holes = self.hidden & ~seen
        if not holes.any():
            return holes
        holes &= harmonic(seen.astype(np.float64), ~holes, holes) > _MOSTLY
        numbered = label(holes, np.ones((3, 3)))[0]
        return holes & (np.bincount(numbered.reshape(-1)) >= _FEWEST)[numbered]


def _look(background: Field, removed: Sequence[Field], camera: Camera, time: float, margin: int) -> _Frame:
    from scipy.ndimage import binary_dilation

    like = background.canonical.centers
    lens = camera.to(like.dtype).to(like.device)
    with torch.no_grad():
        out = rasterize(_contiguous(background.appearance_at(time)), lens)
        hidden = np.zeros(out.alpha.shape[:2], bool)
        for thing in removed:
            if len(thing):
                state = _contiguous(thing.to(like).appearance_at(time))
                hidden |= rasterize(state, lens).alpha[..., 0].cpu().numpy() >= _SILHOUETTE
    if margin and hidden.any():
        hidden = binary_dilation(hidden, np.ones((3, 3)), iterations=margin)
    color, alpha, depth = (x.double().cpu().numpy() for x in (out.color, out.alpha[..., 0], out.depth[..., 0]))
    return _Frame(lens, time, color / np.maximum(alpha, 1e-6)[..., None], alpha, depth, hidden)


def _contiguous(surfels: Surfels) -> Surfels:
    return Surfels(**{name: tensor.contiguous() for name, tensor in surfels.tensors().items()})


def _fill(frame: _Frame, frames: Sequence[_Frame], inpaint: Inpaint) -> Surfels | None:
    """Surfels in the world, one for each pixel of the frame's holes that gets a depth."""
    from scipy.ndimage import binary_dilation

    holes, seen = frame.holes(), frame.seen()
    if not holes.any():
        return None
    depth = fill_inverse_depth(frame.depth, seen, holes)
    color = np.clip(inpaint(np.clip(frame.color, 0, 1), holes | ~seen), 0, 1)
    points = _points(frame.camera, depth)
    across, down = _steps(points, depth > 0)
    # The rim, where the background fades out, is covered as well: otherwise a dark line stays around the patch.
    rim = binary_dilation(holes, np.ones((3, 3)), iterations=2) & frame.hidden & (frame.alpha < _WHOLE)
    use = (holes | rim) & (depth > 0) & np.isfinite(across).all(-1) & np.isfinite(down).all(-1)
    places, u, v = points[use], across[use], down[use]
    length = np.linalg.norm(u, axis=-1, keepdims=True)
    first = u / np.maximum(length, 1e-12)
    rest = v - (v * first).sum(-1, keepdims=True) * first
    width = np.linalg.norm(rest, axis=-1, keepdims=True)
    good = (length[:, 0] > 1e-12) & (width[:, 0] > 1e-12)
    good &= ~_hides(places, frames)
    if not good.any():
        return None
    second = rest / np.maximum(width, 1e-12)
    shortest = np.minimum(length, width)
    scales = _SCALE * np.minimum(np.concatenate([length, width], 1), _STEEPEST * shortest)
    frames_ = np.stack([first, second, np.cross(first, second)], -1)[good]
    like = frame.camera.K
    return Surfels(
        centers=torch.from_numpy(places[good]).to(like),
        rotations_wxyz=quaternion.from_matrix(torch.from_numpy(frames_)).to(like),
        scales=torch.from_numpy(scales[good]).to(like),
        opacities=torch.full((int(good.sum()),), _OPACITY).to(like),
        sh=coefficients_from_color(torch.from_numpy(color[use][good]).to(like)),
    )


def _points(camera: Camera, depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    center, rays = (x.double().cpu().numpy() for x in camera.rays())
    return center + depth[..., None] * rays


def _steps(
    points: Float[np.ndarray, "h w 3"], known: Bool[np.ndarray, "h w"]
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 3"]]:
    """From each pixel's point to that of the next pixel to the right and below, by the neighbours that are known."""
    masked = np.where(known[..., None], points, np.nan)
    out = []
    for axis in (1, 0):
        ahead, behind = np.full_like(masked, np.nan), np.full_like(masked, np.nan)
        step = np.diff(masked, axis=axis)
        if axis == 1:
            ahead[:, :-1], behind[:, 1:] = step, step
        else:
            ahead[:-1], behind[1:] = step, step
        both = np.where(np.isfinite(ahead) & np.isfinite(behind), (ahead + behind) / 2, ahead)
        out.append(np.where(np.isfinite(both), both, behind))
    return out[0], out[1]


def _hides(points: Float[np.ndarray, "n 3"], frames: Sequence[_Frame]) -> Bool[np.ndarray, "n"]:
    """Which points stand before something that one of the frames saw of the background."""
    hides = np.zeros(len(points), bool)
    for frame in frames:
        pixels, depth = frame.camera.project(torch.from_numpy(points).to(frame.camera.K))
        x, y, z = (value.double().cpu().numpy() for value in (pixels[:, 0], pixels[:, 1], depth))
        height, width = frame.alpha.shape
        inside = (z > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
        row, column = (np.where(inside, value, 0).astype(np.int64) for value in (y, x))
        there = frame.seen()[row, column] & ~frame.hidden[row, column]
        hides |= inside & there & (z < (1 - _IN_FRONT) * frame.depth[row, column])
    return hides


def _canonical(found: Surfels, background: Field, time: float) -> Field:
    """Surfels of the world at a time as a field with the background's warp and as many coefficients."""
    assert background.canonical.sh is not None
    assert found.sh is not None
    more = background.canonical.sh.shape[1] - found.sh.shape[1]
    found = found.replace(sh=torch.nn.functional.pad(found.sh, (0, 0, 0, more)))
    warp = background.warp
    if isinstance(warp, RigidWarp):
        rotations, translations = warp.path.at(torch.tensor([time], dtype=torch.float64))
        back = quaternion.conjugate(quaternion.normalize(rotations[0]))
        found = found.replace(
            centers=quaternion.rotate(back, found.centers - translations[0]),
            rotations_wxyz=quaternion.multiply(back, found.rotations_wxyz),
        )
    return Field(found, torch.arange(len(found), device=background.ids.device), warp)


def _joined(first: Field, second: Field) -> Field:
    """Both without a refined branch; ids count anew."""
    drawn = first.canonical if first.refined is None else first.refined.appearance_of(first.canonical)
    both = merge_surfels([drawn, second.canonical])
    return Field(both, torch.arange(len(both), device=first.ids.device), first.warp)
