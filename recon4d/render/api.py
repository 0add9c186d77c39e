"""`rasterize`: checks the arguments, chooses a backend, draws.

Knows no time, no optimiser, no file and keeps nothing between calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from torch import Tensor

from recon4d.core import Camera, Surfels
from recon4d.render import constants
from recon4d.render.arguments import check_arguments
from recon4d.render.backends import available_backends, load_backend
from recon4d.render.limits import Limits
from recon4d.render.output import RasterOutput
from recon4d.render.values import raise_bad_values, raise_not_finite

__all__ = ["Limits", "RasterOutput", "available_backends", "raise_bad_values", "rasterize"]


# `background` and `screen_offsets` carry no shape annotation: their shapes depend on the other arguments, and are
# checked here for every caller, with a message that says what to do.
def rasterize(
    surfels: Surfels,
    cameras: Camera | Sequence[Camera],
    *,
    backend: Literal["auto", "reference", "cpu", "cuda", "gsplat"] = "auto",
    background: Tensor | None = None,
    near: float = constants.NEAR,
    alpha_min: float = constants.ALPHA_MIN,
    alpha_max: float = constants.ALPHA_MAX,
    min_transmittance: float = constants.MIN_TRANSMITTANCE,
    screen_offsets: Tensor | None = None,
) -> RasterOutput:
    """Draw surfels as cameras see them, differentiably.

    Every surfel is blended front to back, in the order of the camera-frame depth of its centre.  Gradients reach every
    surfel array, `K` and `cam_from_world` of every camera, `background` and `screen_offsets`.

    One camera and surfels without a batch dimension give images without one.  Otherwise B views are drawn: a sequence
    of B cameras, B surfel states, or both in step; whatever has no batch dimension, or one of size 1, is shared by all.

    All tensors must have one dtype (float32 or float64) and one device, and be contiguous.

    Args:
        surfels: N surfels (N may be 0), or B states of them.
        cameras: one camera, or a sequence of cameras with the same image size.
        backend: who draws; "auto" takes the fastest for the tensors' device.  See `available_backends`.
        background: [C] one colour, or [H, W, C] an image, behind everything in every view; None is black.  With
            both `sh` and `features` in the surfels, the three channels of `sh` come first here and in the image.
        near: depth of the near plane, scene units.
        alpha_min: least alpha that is blended.
        alpha_max: greatest alpha of one surfel in one pixel.
        min_transmittance: a pixel whose transmittance is down to this is full.
        screen_offsets: [N, 2] or [B, N, 2] pixels to move each projected centre by.  Pass zeros that require a gradient
            to get the screen-space gradients that density control wants.

    Returns:
        The images and the surfels' radii on screen.

    Raises:
        InputError: for a wrong type, dtype, device, layout, shape, batch size, camera matrix or limit, for NaN and
            infinity anywhere, and for zero quaternions, negative scales and opacities outside [0, 1].
        BackendError: when the backend asked for cannot run here.
    """
    limits = Limits(near=near, alpha_min=alpha_min, alpha_max=alpha_max, min_transmittance=min_transmittance)
    batch = check_arguments(surfels, cameras, background=background, screen_offsets=screen_offsets)
    raise_not_finite(background=background, screen_offsets=screen_offsets)
    output = load_backend(backend, batch.surfels.centers.device).rasterize_batch(
        batch.surfels,
        batch.K,
        batch.cam_from_world,
        batch.width,
        batch.height,
        background=batch.background,
        limits=limits,
        screen_offsets=batch.screen_offsets,
    )
    if batch.background_image is not None:
        output = replace(output, color=output.color + (1 - output.alpha) * batch.background_image)
    return output.squeezed() if batch.single else output
