"""The optional `gsplat` backend: the surfel rasterizer of gsplat 1.5 (Apache-2.0, `pip install recon4d[gsplat]`).

A second opinion on the GPU, and a yardstick.  float32 tensors of a CUDA device only.  It does not mean quite the same
as the other backends:

- `depth` blends the depths of surfel centres, not of the intersections; `depth_median` is gsplat's own.
- `distortion` is of those depths, not of inverse depths.
- Footprints are cut off at a radius that ignores the opacity, so large surfels lose their rims; `radii` is that radius.
- A surfel that would bring the transmittance to the limit is left out instead of being the last.
- No gradient reaches `K`, and `screen_offsets` and other limits than the defaults (but `near`) are refused.

Colours are evaluated here, so spherical harmonics turn with a warp as everywhere else.
"""

from __future__ import annotations

import importlib
import importlib.util

import torch
from torch import Tensor

from recon4d.core import BackendError, InputError, Surfels
from recon4d.render import reference
from recon4d.render.colors import seen_colors
from recon4d.render.limits import Limits
from recon4d.render.output import RasterOutput
from recon4d.render.values import raise_bad_values


def why_not() -> str:
    """Empty where gsplat can be imported, else the reason in one line."""
    if importlib.util.find_spec("gsplat") is None:
        return "gsplat is not installed: pip install recon4d[gsplat]"
    return ""


def rasterize_batch(
    surfels: Surfels,
    K: Tensor,
    cam_from_world: Tensor,
    width: int,
    height: int,
    *,
    background: Tensor | None,
    limits: Limits,
    screen_offsets: Tensor | None,
) -> RasterOutput:
    """Draw B views one by one; see `backends.Backend`.

    Raises:
        BackendError: when gsplat is not installed.
        InputError: for what gsplat cannot do.
    """
    if reason := why_not():
        raise BackendError("backend 'gsplat'", expected="an installed gsplat", got=reason, fix="install it")
    _refuse(K, limits, screen_offsets)
    if len(surfels) == 0:
        return reference.rasterize_batch(
            surfels,
            K,
            cam_from_world,
            width,
            height,
            background=background,
            limits=limits,
            screen_offsets=None,
        )
    raise_bad_values(surfels)
    views = []
    for index in range(K.shape[0]):
        one = _frame(surfels, index)
        views.append(_draw(one, K[index], cam_from_world[index], width, height, background, limits.near))
    return RasterOutput(**{name: torch.stack([view.tensors()[name] for view in views]) for name in views[0].tensors()})


def _refuse(K: Tensor, limits: Limits, screen_offsets: Tensor | None) -> None:
    if K.dtype != torch.float32:
        raise InputError("dtype", expected="float32 for gsplat", got=str(K.dtype), fix="use another backend")
    if screen_offsets is not None:
        raise InputError("screen_offsets", expected="None for gsplat", got="an array", fix="use another backend")
    defaults = Limits(near=limits.near)
    if limits != defaults:
        raise InputError("limits", expected=f"{defaults} for gsplat", got=str(limits), fix="use another backend")


def _frame(surfels: Surfels, index: int) -> Surfels:
    dims = {"opacities": 1, "sh": 3}
    tensors = surfels.tensors().items()
    return Surfels(**{name: t[index] if t.dim() > dims.get(name, 2) else t for name, t in tensors})


def _draw(
    surfels: Surfels,
    K: Tensor,
    cam_from_world: Tensor,
    width: int,
    height: int,
    background: Tensor | None,
    near: float,
) -> RasterOutput:
    rasterization_2dgs = importlib.import_module("gsplat").rasterization_2dgs
    scales = torch.cat([surfels.scales, torch.ones_like(surfels.scales[:, :1])], dim=-1)
    color, alpha, normal, _, distortion, median, meta = rasterization_2dgs(
        means=surfels.centers,
        quats=surfels.rotations_wxyz,
        scales=scales,
        opacities=surfels.opacities,
        colors=seen_colors(surfels, cam_from_world)[None],
        viewmats=cam_from_world[None],
        Ks=K.detach()[None],
        width=width,
        height=height,
        near_plane=near,
        backgrounds=None if background is None else background[None],
        packed=False,
        render_mode="RGB+ED",
        distloss=True,
    )
    return RasterOutput(
        color=color[0, ..., :-1],
        alpha=alpha[0],
        depth=color[0, ..., -1:],
        depth_median=median[0],
        normal=normal[0] @ cam_from_world[:3, :3].T,  # gsplat turns normals to the world
        distortion=distortion[0],
        radii=meta["radii"][0].amax(dim=-1).to(K.dtype),
    )
