"""A shape from one side only: the silhouette, as thick as it is wide.

Where the cameras see a subject from one direction (a static camera before something that does not turn), no hull can be
carved.  Each pixel of the mask gets a front and a back whose distance goes with the distance to the silhouette's
border, as a balloon's would (after Igarashi, Matsuoka and Tanaka, "Teddy", 1999).  Depth along the ray is a guess.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon4d.core import InputError, SE3Spline, Surfels, rigid
from recon4d.render import rasterize
from recon4d.train.frames import Frame
from recon4d.train.hull import Hull, facing
from recon4d.train.root import control_count, mask_middle, mask_ray, spline_basis

_LEAST_PARALLAX_DEGREES = 25.0
_LEAST_BASELINE = 0.02  # of the subject's distance: a camera that only turns shakes less
_LEAST_CROSSING = 1e-6
_MOST_MISSED = 0.5  # of the cameras' distances from their middle
_SAME_PLACE = 1e-6
_DISTANCE = 4.0
_EVENNESS, _STILLNESS = 0.03, 1e-6
_SOLID = 127
_OPAQUE, _SHOWN = 0.9, 0.3
_LEAST_MISSING = 0.01  # of the mask
_FEW = 50


def no_parallax(frames: tuple[Frame, ...]) -> bool:
    """Whether all cameras see the subject from about the same direction.

    The subject is taken to be where the rays through the masks' middles come nearest to each other.
    """
    rays = [mask_ray(frame) for frame in frames]
    origins, directions = (torch.stack(parts) for parts in zip(*rays, strict=True))
    spread = (origins - origins.mean(0)).norm(dim=1).max()
    if float(spread) <= _SAME_PLACE * max(1.0, float(origins.norm(dim=1).max())):
        # The rays of a mask's wandering middle would meet in the camera itself.
        return True
    across = torch.eye(3, dtype=torch.float64) - directions[:, :, None] * directions[:, None, :]
    matrix = across.sum(0)
    values = torch.linalg.eigvalsh(matrix)
    if float(values[0]) < _LEAST_CROSSING * float(values[-1]):
        return True
    middle = torch.linalg.solve(matrix, (across @ origins[:, :, None]).sum(0)[:, 0])
    missed = (across @ (middle - origins)[:, :, None]).square().mean().sqrt()
    if missed > _MOST_MISSED * (origins - origins.mean(0)).square().mean().sqrt():
        # Rays that meet no better than the cameras do: these shake in one place.
        return True
    towards = torch.nn.functional.normalize(middle - origins, dim=1)
    mean = torch.nn.functional.normalize(towards.mean(0), dim=0)
    widest = torch.rad2deg(torch.arccos((towards @ mean).clamp(-1, 1))).max()
    baseline = (origins - origins.mean(0)).norm(dim=1).max() / (middle - origins).norm(dim=1).median()
    return bool(2 * widest < _LEAST_PARALLAX_DEGREES or baseline < _LEAST_BASELINE)


def inflate(
    frames: tuple[Frame, ...],
    canonical_time: float,
    frames_per_control: float,
    count: int,
    generator: torch.Generator,
) -> tuple[Hull, SE3Spline]:
    """Surfels on the inflated silhouette of the frame at the canonical time, and a root that follows the masks.

    The subject is put before the cameras at the distance of the world's origin (of `_DISTANCE` where a camera is at the
    origin), and its size then follows; as the masks' areas change, it comes nearer or goes away.

    Args:
        frames: of one object.
        canonical_time: seconds.
        frames_per_control: of the root's path.
        count: of surfels.
        generator: of the samples.

    Raises:
        InputError: no mask with a solid pixel.
    """
    solid = [frame for frame in frames if bool((frame.pixels[..., 3] > _SOLID).any())]
    if not solid:
        raise InputError(
            "masks",
            expected="a frame in which the subject covers at least one whole pixel",
            got="faint masks only",
            fix="correct the masks, or use larger images",
        )
    middle_frame = min(solid, key=lambda frame: abs(frame.time - canonical_time))
    base = float(middle_frame.camera.cam_from_world[:3, 3].norm())
    base = base if base > 1e-3 else _DISTANCE
    areas = torch.tensor([float((frame.pixels[..., 3] > _SOLID).sum()) for frame in frames])
    reference = float((middle_frame.pixels[..., 3] > _SOLID).sum())
    # Smoothed, because poses that bend change the area too.
    ratio = _smoothed((reference / areas.clamp_min(1)).sqrt().clamp(0.5, 2.0))
    step, controls = control_count([frame.time for frame in frames], frames_per_control)
    places = torch.stack([_unproject(frame, base * float(r)) for frame, r in zip(frames, ratio, strict=True)])
    root = _even_path([frame.time for frame in frames], places, step, controls)
    mask = middle_frame.pixels[..., 3].numpy() > _SOLID
    centers, normals, colors = _balloon(middle_frame, np.full(mask.shape, base), mask, count, generator)
    extent = float((centers.amax(0) - centers.amin(0)).max())
    unit = base / float(middle_frame.camera.K[0, 0])
    # Both sides share the surfels.
    scale = 0.8 * float(2 * mask.sum() * unit**2 / count) ** 0.5
    return Hull(centers, facing(normals), colors, scale, extent, 1.0, 1.0), root


def completed(hull: Hull, frame: Frame, generator: torch.Generator) -> Hull:
    """The hull with what it lacks of a frame's silhouette: limbs that moved too much to be carved.

    They are inflated, at the depth of the nearest part of the silhouette that the hull does show.

    Args:
        hull: in the world at the time of the frame.
        frame: of the one object.
        generator: of the samples.
    """
    camera = frame.camera
    count = len(hull.centers)
    surfels = Surfels(
        hull.centers,
        hull.rotations_wxyz,
        torch.full((count, 2), hull.scale),
        torch.full((count,), _OPAQUE),
        features=torch.ones(count, 1),
    )
    drawn = rasterize(surfels, camera)
    shown = drawn.alpha[..., 0].numpy() > _SHOWN
    mask = frame.pixels[..., 3].numpy() > _SOLID
    # Thin rims are a matter of size, not of missing limbs.
    missing = _without_rims(mask & ~shown)
    if not shown.any() or missing.sum() < _LEAST_MISSING * mask.sum():
        return hull
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(~shown, return_distances=False, return_indices=True)
    depth = drawn.depth[..., 0].numpy()[tuple(nearest)]
    more = max(_FEW, round(count * missing.sum() / max(1, int((mask & shown).sum()))))
    centers, normals, colors = _balloon(frame, depth, missing, more, generator)
    everything = torch.cat([hull.centers, centers])
    return replace(
        hull,
        centers=everything,
        rotations_wxyz=torch.cat([hull.rotations_wxyz, facing(normals)]),
        colors=torch.cat([hull.colors, colors]),
        size=float((everything.amax(0) - everything.amin(0)).max()),
    )


def _without_rims(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """A mask without what is thinner than three pixels."""
    from scipy import ndimage

    opened: Bool[np.ndarray, "h w"] = ndimage.binary_opening(mask, np.ones((3, 3), bool))
    return opened


def _balloon(
    frame: Frame,
    depth: Float[np.ndarray, "h w"],
    where: Bool[np.ndarray, "h w"],
    count: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """Places, outward normals and colours on both sides of the silhouette, for the pixels `where`, about a depth."""
    from scipy import ndimage

    mask = frame.pixels[..., 3].cpu().numpy() > _SOLID
    inside = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    # A disc of radius R: thickness sqrt(R^2 - (R - d)^2), with R the largest distance near by.
    reach = ndimage.maximum_filter(inside, size=2 * int(inside[where].max()) + 1)
    half = ndimage.gaussian_filter(np.sqrt(np.clip(reach**2 - (reach - inside) ** 2, 0, None)), 1.5) * mask
    slope_y, slope_x = np.gradient(half)
    rows, columns = np.nonzero(where)
    chosen = torch.randint(len(rows), (count,), generator=generator).numpy()
    jitter = torch.rand(count, 2, generator=generator).numpy()
    side = np.where(torch.rand(count, generator=generator).numpy() < 0.5, -1.0, 1.0)
    row, column = rows[chosen], columns[chosen]
    camera = frame.camera
    fx, fy, cx, cy = (float(camera.K[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    z = depth[row, column] * (1 + side * half[row, column] / fx)
    x, y = (column + jitter[:, 0] - cx) / fx, (row + jitter[:, 1] - cy) / fy
    in_cam = torch.from_numpy(np.stack([x * z, y * z, z], 1)).float()
    normal = np.stack([-slope_x[row, column], -slope_y[row, column], side], 1)
    normals = torch.nn.functional.normalize(torch.from_numpy(normal).float(), dim=1)
    world_from_cam = rigid.invert(camera.cam_from_world.cpu())
    color = frame.pixels[..., :3].cpu()[row, column].float() / 255
    return (
        rigid.transform_points(world_from_cam, in_cam).contiguous(),
        rigid.transform_directions(world_from_cam, normals),
        color.clamp(0.02, 0.98),
    )


def _even_path(times: list[float], places: Float[Tensor, "t 3"], step: float, count: int) -> SE3Spline:
    """The path that goes by places and bends little: what it leaves out, bones can do.

    Without the latter, controls that few images tell of go far out, and would be pulled back all through the fit.
    """
    basis, places = spline_basis(times, times[0], step, count), places.double()
    bends = torch.eye(count, dtype=torch.float64).diff(n=2, dim=0)
    normal = basis.T @ basis + _EVENNESS * len(times) * bends.T @ bends
    # One image or two leave the direction of the path open: then it stands still.
    normal += _STILLNESS * torch.eye(count, dtype=torch.float64)
    middle = places.mean(0)
    controls = torch.linalg.solve(normal, basis.T @ (places - middle)) + middle
    still = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(count, 1)
    return SE3Spline(still, controls.float(), times[0], step)


def _unproject(frame: Frame, distance: float) -> Float[Tensor, " 3"]:
    """The world point on the ray through the mask's middle at a depth."""
    x, y = mask_middle(frame)
    camera = frame.camera
    in_cam = torch.stack([(x - camera.K[0, 2]) / camera.K[0, 0], (y - camera.K[1, 2]) / camera.K[1, 1], x * 0 + 1])
    return rigid.transform_points(rigid.invert(camera.cam_from_world), (in_cam * distance).float())


def _smoothed(values: Float[Tensor, " t"]) -> Float[Tensor, " t"]:
    from scipy import ndimage

    return torch.from_numpy(ndimage.gaussian_filter1d(values.numpy(), max(1.0, len(values) / 20), mode="nearest"))
