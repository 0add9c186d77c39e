"""The oracle: surfel rasterization in plain torch, float32 and float64, on any device.

Written to be read beside the formulas, not to be fast: every pixel looks at every surfel.  Derivatives are torch's own.
The compiled backends are tested against this file, so it shares no code with them and skips nothing that they skip
by a bound.

What a pixel needs of a surfel: its centre m in the camera frame and c on screen; h, a and b, so that with d the pixel
centre minus c, the ray meets the surfel's plane at depth m_z / (1 + h.d), at (a.d, b.d) / (1 + h.d) standard deviations
along its tangents (M = K [s_u t_u | s_v t_v | m], the homography of Weyrich et al. 2007 and of "2D Gaussian Splatting",
Huang et al. 2024, divided through by m_z).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recon4d.core import Surfels, quaternion, spherical_harmonics
from recon4d.render.arguments import state_of
from recon4d.render.constants import (
    EDGE_ON_COSINE,
    EDGE_ON_INVERSE_SIGMA,
    LOW_PASS_DEPTH_RATIO,
    LOW_PASS_INVERSE_VARIANCE,
    MEDIAN_TRANSMITTANCE,
    MIN_SCALE_PIXELS,
)
from recon4d.render.limits import Limits
from recon4d.render.output import RasterOutput
from recon4d.render.values import raise_bad_values

# Memory: one square tile of pixels at a time, and for the search for what touches it, so many (surfel, pixel) pairs.
_TILE = 16
_PAIRS_AT_ONCE = 1 << 21


class _Splats(NamedTuple):
    """Surfels as one camera sees them: those in front of it and not transparent, nearest centre first."""

    surfel: Int[Tensor, " n"]  # which one this is
    c: Float[Tensor, "n 2"]
    m_z: Float[Tensor, " n"]
    h: Float[Tensor, "n 2"]
    a: Float[Tensor, "n 2"]
    b: Float[Tensor, "n 2"]
    opacity: Float[Tensor, " n"]
    r2: Float[Tensor, " n"]  # squared Mahalanobis radius at which alpha falls to alpha_min
    normal: Float[Tensor, "n 3"]
    color: Float[Tensor, "n c"]
    low: Float[Tensor, "n 2"]  # corners of the box around the footprint
    high: Float[Tensor, "n 2"]

    def take(self, which: Tensor | slice) -> _Splats:
        return _Splats(*(tensor[which] for tensor in self))


def rasterize_batch(
    surfels: Surfels,
    K: Float[Tensor, "b 3 3"],
    cam_from_world: Float[Tensor, "b 4 4"],
    width: int,
    height: int,
    *,
    background: Float[Tensor, " c"] | None,
    limits: Limits,
    screen_offsets: Float[Tensor, "*#b n 2"] | None,
) -> RasterOutput:
    """Draw B views, one after the other.  See `recon4d.render.backends.Backend`."""
    raise_bad_values(surfels)
    views = []
    for i in range(len(K)):
        offsets = screen_offsets[i] if screen_offsets is not None and screen_offsets.ndim == 3 else screen_offsets
        splats = _project(state_of(surfels, i), K[i], cam_from_world[i], limits, offsets)
        views.append([*_draw(splats, width, height, limits, background), _radii(splats, len(surfels), width, height)])
    return RasterOutput(*(torch.stack(batch) for batch in zip(*views, strict=True)))


def _project(
    surfels: Surfels,
    K: Float[Tensor, "3 3"],
    cam_from_world: Float[Tensor, "4 4"],
    limits: Limits,
    screen_offsets: Float[Tensor, "n 2"] | None,
) -> _Splats:
    R, t = cam_from_world[:3, :3], cam_from_world[:3, 3]
    m = _turn(R, surfels.centers) + t
    drawn = (m[:, 2] > limits.near) & (surfels.opacities >= limits.alpha_min)
    order = torch.argsort(m[:, 2].detach(), stable=True)
    index = order[drawn[order]]

    m, opacity = m[index], surfels.opacities[index]
    world_from_surfel = quaternion.to_matrix(surfels.rotations_wxyz[index])
    t_u, t_v = _turn(R, world_from_surfel[:, :, 0]), _turn(R, world_from_surfel[:, :, 1])
    n = torch.linalg.cross(t_u, t_v)
    m_z, focal = m[:, 2:], torch.stack([K[0, 0], K[1, 1]])
    ray = m / m_z
    shift = K[:2, 2] if screen_offsets is None else K[:2, 2] + screen_offsets[index]
    c = focal * ray[:, :2] + shift

    floor = (MIN_SCALE_PIXELS * m_z / focal.max()).detach()
    scales = surfels.scales[index]
    s_u, s_v = torch.where(scales < floor, floor, scales).split(1, dim=1)
    facing = _dot(n, ray)
    edge_on = facing.abs() < EDGE_ON_COSINE * torch.linalg.vector_norm(ray, dim=1, keepdim=True)
    h = n[:, :2] / focal / torch.where(edge_on, 1, facing)
    a = (t_u[:, :2] / focal - _dot(t_u, ray) * h) * (m_z / s_u)
    b = (t_v[:, :2] / focal - _dot(t_v, ray) * h) * (m_z / s_v)
    # The footprint: the disc of Mahalanobis radius r, if it has a plane, and the low pass's circle.
    r2 = 2 * torch.log(opacity / limits.alpha_min).detach()[:, None]
    circle = (r2 / LOW_PASS_INVERSE_VARIANCE).sqrt()
    low, high = _outline_box(m, (r2.sqrt() * s_u * t_u, r2.sqrt() * s_v * t_v), focal, limits.near)
    low = torch.where(edge_on, c, low + shift)
    high = torch.where(edge_on, c, high + shift)
    return _Splats(
        surfel=index,
        c=c,
        m_z=m_z[:, 0],
        h=torch.where(edge_on, 0, h),
        a=torch.where(edge_on, h.new_tensor([EDGE_ON_INVERSE_SIGMA, 0]), a),
        b=torch.where(edge_on, h.new_tensor([0, EDGE_ON_INVERSE_SIGMA]), b),
        opacity=opacity,
        r2=r2[:, 0],
        normal=torch.where(facing < 0, n, -n),
        color=_colors(surfels, index, camera_center=-_turn(R.mT, t[None])),
        low=torch.minimum(low, c - circle).detach(),
        high=torch.maximum(high, c + circle).detach(),
    )


def _turn(R: Float[Tensor, "3 3"], v: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    # Not a matrix product: that may round equal rows differently, which would break ties in depth.
    return v[:, :1] * R[:, 0] + v[:, 1:2] * R[:, 1] + v[:, 2:] * R[:, 2]


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum(-1, keepdim=True)


def _colors(surfels: Surfels, index: Int[Tensor, " n"], camera_center: Float[Tensor, "1 3"]) -> Float[Tensor, "n c"]:
    features = [] if surfels.features is None else [surfels.features[index]]
    if surfels.sh is None:
        return features[0]
    direction = torch.nn.functional.normalize(surfels.centers[index] - camera_center, dim=1)
    if surfels.world_from_canonical_wxyz is not None:
        direction = quaternion.rotate(quaternion.conjugate(surfels.world_from_canonical_wxyz[index]), direction)
    return torch.cat([spherical_harmonics.evaluate(surfels.sh[index], direction), *features], -1)


def _draw(
    splats: _Splats, width: int, height: int, limits: Limits, background: Float[Tensor, " c"] | None
) -> list[Tensor]:
    """The images of `RasterOutput`, in its order, each [H, W, channels]."""
    columns, lines = (torch.arange(n, device=splats.c.device).to(splats.c.dtype) + 0.5 for n in (width, height))
    rows = []
    for y in lines.split(_TILE):
        row = []
        for x in columns.split(_TILE):
            grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
            pixels = torch.stack([grid_x.flatten(), grid_y.flatten()], 1)
            images = _blend(splats.take(_touching(splats, pixels, limits)), pixels, limits, background)
            row.append([image.unflatten(0, grid_x.shape) for image in images])
        rows.append([torch.cat(tiles, 1) for tiles in zip(*row, strict=True)])
    return [torch.cat(tiles, 0) for tiles in zip(*rows, strict=True)]


@torch.no_grad()
def _touching(splats: _Splats, pixels: Float[Tensor, "p 2"], limits: Limits) -> Int[Tensor, " k"]:
    """Which splats hit any of the pixels: only these can matter to them."""
    return torch.cat([_hits(part, pixels, limits)[0].any(1) for part in _parts(splats, len(pixels))]).nonzero()[:, 0]


def _parts(splats: _Splats, pixel_count: int) -> Iterator[_Splats]:
    step = max(1, _PAIRS_AT_ONCE // pixel_count)
    for start in range(0, max(1, len(splats.c)), step):
        yield splats.take(slice(start, start + step))


def _meet(
    splats: _Splats, pixels: Float[Tensor, "p 2"]
) -> tuple[Float[Tensor, "n p"], Float[Tensor, "n p"], Float[Tensor, "n p"]]:
    """Where rays meet planes, for every pair: den = m_z / depth; rho3 * den^2; and rho2, the low pass."""
    d = pixels[:, 0] - splats.c[:, :1], pixels[:, 1] - splats.c[:, 1:]
    den = 1 + _along(splats.h, d)
    rho3_den2 = _along(splats.a, d).square() + _along(splats.b, d).square()
    return den, rho3_den2, LOW_PASS_INVERSE_VARIANCE * (d[0].square() + d[1].square())


def _along(v: Float[Tensor, "n 2"], d: tuple[Float[Tensor, "n p"], Float[Tensor, "n p"]]) -> Float[Tensor, "n p"]:
    return v[:, :1] * d[0] + v[:, 1:] * d[1]


@torch.no_grad()
def _hits(
    splats: _Splats, pixels: Float[Tensor, "p 2"], limits: Limits
) -> tuple[Bool[Tensor, "n p"], Bool[Tensor, "n p"]]:
    """For every pair: whether the footprint covers it, and whether the plane (not the low pass) decides its alpha."""
    den, rho3_den2, rho2 = _meet(splats, pixels)
    in_front = (den > 0) & (den * limits.near < splats.m_z[:, None])
    rho3 = torch.where(in_front, rho3_den2 / den.square(), torch.inf)
    return torch.minimum(rho3, rho2) <= splats.r2[:, None], rho3 <= rho2


def _blend(
    splats: _Splats, pixels: Float[Tensor, "p 2"], limits: Limits, background: Float[Tensor, " c"] | None
) -> list[Tensor]:
    """The images of `RasterOutput` at P pixels, each [P, channels]."""
    hit, on_plane = _hits(splats, pixels, limits)
    den, rho3_den2, rho2 = _meet(splats, pixels)
    # A ray that meets the plane nowhere near the surfel has no say; 1 keeps its derivatives finite.
    den3 = torch.where(hit & on_plane, den, 1)
    rho = torch.where(on_plane, rho3_den2 / den3.square(), rho2)
    alpha = torch.where(hit, (splats.opacity[:, None] * torch.exp(-rho / 2)).clamp_max(limits.alpha_max), 0)
    near_center = den.clamp(1 / LOW_PASS_DEPTH_RATIO, LOW_PASS_DEPTH_RATIO)
    z = splats.m_z[:, None] / torch.where(on_plane, den3, near_center)
    s = 1 / z

    alpha = torch.where(_transmittance(alpha.detach())[:-1] > limits.min_transmittance, alpha, 0)
    T = _transmittance(alpha)
    w = alpha * T[:-1]
    W = w.sum(0)[:, None]
    W_or_1 = torch.where(W > 0, W, 1)

    color = w.mT @ splats.color
    if background is not None:
        color = color + T[-1][:, None] * background
    depth = (w * z).sum(0)[:, None] / W_or_1
    is_median = (T[:-1] > MEDIAN_TRANSMITTANCE) & (T[1:] <= MEDIAN_TRANSMITTANCE)
    depth_median = torch.where(is_median, z, 0).sum(0)[:, None]
    normal = w.mT @ splats.normal
    # The distortion is the same for s and for s less a constant; the mean loses the fewest digits.
    s = s - ((w * s).sum(0) / W_or_1[:, 0]).detach()
    distortion = W * (w * s * s).sum(0)[:, None] - (w * s).sum(0)[:, None].square()
    return [color, W, depth, depth_median, normal, distortion]


def _transmittance(alpha: Float[Tensor, "n p"]) -> Float[Tensor, "n_plus_1 p"]:
    """Light that is left in front of each of N surfels, and behind the last."""
    return torch.cat([torch.ones_like(alpha[:1].sum(0, keepdim=True)), torch.cumprod(1 - alpha, 0)])


@torch.no_grad()
def _outline_box(
    m: Float[Tensor, "n 3"],
    axes: tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]],
    focal: Float[Tensor, " 2"],
    near: float,
) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2"]]:
    """Least and greatest image coordinates of elliptical discs, as far as they are beyond the near plane.

    Relative to the principal point.  The outline is P(t) = m + cos(t) u + sin(t) v.  The image coordinate P_x / P_z is
    extreme where P_x' P_z = P_x P_z', or where the near plane cuts the outline; both read A cos t + B sin t + C = 0.
    """
    m, u, v = m.double(), axes[0].double(), axes[1].double()  # the cut of a wide disc is lost in float32
    (mx, my, mz), (ux, uy, uz), (vx, vy, vz) = m.unbind(1), u.unbind(1), v.unbind(1)
    extremes = [
        (vx * mz - mx * vz, mx * uz - ux * mz, vx * uz - ux * vz),
        (vy * mz - my * vz, my * uz - uy * mz, vy * uz - uy * vz),
        (uz, vz, mz - near),
    ]
    angles = []
    for A, B, C in extremes:
        aside = torch.acos(-C / torch.hypot(A, B))  # NaN where there is none
        angles += [torch.atan2(B, A) + aside, torch.atan2(B, A) - aside]
    t = torch.stack(angles, 1)[..., None]
    P = m[:, None] + t.cos() * u[:, None] + t.sin() * v[:, None]
    image = focal * P[..., :2] / P[..., 2:]
    there = P[..., 2:] >= near * (1 - 1e-5)  # the cut itself is exactly there, but for rounding
    low = torch.where(there, image, torch.inf).amin(1)
    high = torch.where(there, image, -torch.inf).amax(1)
    low, high = torch.where(low <= high, low, -torch.inf), torch.where(low <= high, high, torch.inf)
    return low.to(focal.dtype), high.to(focal.dtype)


@torch.no_grad()
def _radii(splats: _Splats, count: int, width: int, height: int) -> Float[Tensor, " n"]:
    """[N] half the larger side of the box around each footprint; 0 for those without a pixel centre in their box."""
    first = (splats.low - 0.5).ceil().clamp_min(0)
    last = torch.minimum((splats.high - 0.5).floor(), splats.c.new_tensor([width, height]) - 1)
    radius = ((splats.high - splats.low).amax(1) / 2).clamp_max(float(max(width, height)))
    radii = splats.c.new_zeros(count)
    radii[splats.surfel] = torch.where((first <= last).all(1), radius, 0)
    return radii
