"""The exact picture: the scene by our own rasterizer from a client's camera, with what the client wants to see on it.

One pass gives colours, depth, normals and the marks of selected and unseen surfels.  Pure: a view, a time, a camera and
a look in, pixels out.  Does NOT know clients, threads or viser.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor

from recon4d.core import Camera, Surfels
from recon4d.core.quaternion import rotate
from recon4d.editors.edited_field import EditedField, first_moment
from recon4d.editors.posing import pose
from recon4d.export.bone_pictures import LayerBones, draw_bones, layer_bones
from recon4d.export.colors import depth_map
from recon4d.render import RasterOutput, rasterize
from recon4d.scene import Layer, Scene, merge_surfels
from recon4d.viewer.confidence import confidence_colors
from recon4d.viewer.look import Look
from recon4d.viewer.splats import base_colors

SELECTED = (0.0, 0.72, 1.0)
UNSEEN = (0.72, 0.15, 0.85)
_TINT, _UNSEEN_TINT = 0.45, 0.7  # how much of the colour a mark takes
_SOLID = 0.5
_RIM = 0.55  # share of selected coverage at which the outline of a selection runs

Marks = Mapping[str, Bool[Tensor, " _"]]
Confidences = Mapping[str, Float[Tensor, " _"]]


@dataclass(frozen=True, eq=False)
class Picture:
    """What is drawn.

    Attributes:
        rgb: [H, W, 3] display sRGB.
        depth: [H, W] camera-frame z in scene units, infinity where nothing is.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]


def draw(
    scene: Scene,
    time: float,
    camera: Camera,
    look: Look,
    *,
    selected: Marks | None = None,
    confidence: Confidences | None = None,
) -> Picture:
    """Draw the scene.

    Args:
        scene: the view.
        time: seconds.
        camera: of any dtype, at the size of the picture.
        look: the kind of picture, background and light.
        selected: surfels to mark, by layer.
        confidence: of surfels, by layer; needed by the mode "Confidence" and by `look.guesses`.
    """
    layers = [layer for layer in scene.layers if len(layer.field)]
    if not layers:
        blank = np.empty((camera.height, camera.width, 3), np.uint8)
        blank[:] = np.rint(255 * np.asarray(look.background))
        return Picture(blank, np.full(blank.shape[:2], np.inf, np.float32))
    camera = camera.to("cpu", torch.float32)
    bones = _bones(layers) if look.mode == "Bones" else []
    with torch.no_grad():
        surfels = _surfels(layers, time, look, selected, confidence, bones)
        image = rasterize(surfels, camera)
        color, alpha = _painted(image, look, own_colors=surfels.sh is not None or _colors_of_features(look))
        color = _marked(color, image, look)
        color = color + (1 - alpha) * color.new_tensor(look.background)
        rgb = (color.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        depth = torch.where(image.alpha >= _SOLID, image.depth, torch.inf)[..., 0].numpy()
    if bones:
        draw_bones(rgb, bones, camera, time)
    return Picture(np.ascontiguousarray(rgb), np.ascontiguousarray(depth))


def state_of(layer: Layer, time: float, *, appearance: bool) -> Surfels:
    """The surfels of a layer at a moment, without batch axes: to draw in colour, or as the surface is."""
    field = layer.field
    with torch.no_grad():
        if isinstance(field, EditedField):
            return field.appearance_at(time) if appearance else field.at(time)
        moment = torch.tensor([time], dtype=torch.float64)
        return first_moment(pose(field, moment, appearance=appearance))


def mode_colors(
    layer: Layer, state: Surfels, look: Look, confidence: Confidences | None
) -> Float[Tensor, "n 3"] | None:
    """Colours of a layer's surfels in modes that colour surfels one by one; None where they keep their own."""
    if look.mode == "Confidence":
        known = None if confidence is None else confidence.get(layer.name)
        fitting = known if known is not None and len(known) == len(state) else torch.zeros(len(state))
        return confidence_colors(fitting)
    if look.mode == "Bones":
        return _layer_bones(layer, 0).surfel_colors
    if look.mode == "Trails":
        grey = base_colors(state).mean(-1, keepdim=True)
        return (0.55 + 0.35 * grey).expand(-1, 3)
    return None


def splat_colors(
    layer: Layer, state: Surfels, look: Look, selected: Marks | None, confidence: Confidences | None
) -> Float[Tensor, "n 3"]:
    """Colours for splats, which know no pixels: the mode's as near as surfels can have them, with the same marks."""
    if look.mode == "Normals":
        normal = rotate(state.rotations_wxyz, state.centers.new_tensor([0.0, 0.0, 1.0]).expand_as(state.centers))
        color = 0.5 + 0.5 * torch.nn.functional.normalize(normal, dim=-1)
    elif look.mode == "Coverage":
        color = torch.ones_like(state.centers)
    else:
        own = mode_colors(layer, state, look, confidence)
        color = base_colors(state) * look.brightness if own is None else own
    unseen = 1 - _known(confidence, layer, state, look)[:, None]
    color = color + _UNSEEN_TINT * unseen * (color.new_tensor(UNSEEN) - color)
    chosen = _mark(selected, layer, state)[:, None]
    return color + 0.7 * chosen * (color.new_tensor(SELECTED) - color)


def _bones(layers: list[Layer]) -> list[LayerBones]:
    known: list[LayerBones] = []
    for layer in layers:
        known.append(_layer_bones(layer, sum(len(one.bones) for one in known)))
    return known


@lru_cache(maxsize=16)
def _layer_bones(layer: Layer, first: int) -> LayerBones:
    return layer_bones(layer, first)


def _colors_of_features(look: Look) -> bool:
    return look.mode in ("Colour", "Trails", "Confidence", "Bones", "Mesh")


def _surfels(
    layers: list[Layer],
    time: float,
    look: Look,
    selected: Marks | None,
    confidence: Confidences | None,
    bones: list[LayerBones],
) -> Surfels:
    """All layers as one set; features are colours where the mode has its own, then the two marks."""
    own = look.mode == "Colour" or look.mode == "Mesh"
    states = [state_of(layer, time, appearance=own) for layer in layers]
    with_sh = own and all(state.sh is not None for state in states)
    parts = []
    for i, (layer, state) in enumerate(zip(layers, states, strict=True)):
        marks = torch.stack([_mark(selected, layer, state), 1 - _known(confidence, layer, state, look)], -1)
        features = marks
        if not with_sh:
            colors = bones[i].surfel_colors if bones else mode_colors(layer, state, look, confidence)
            colors = base_colors(state) if colors is None else colors
            features = torch.cat([colors.to(marks), marks], -1)
        parts.append(state.replace(features=features, sh=state.sh if with_sh else None).to("cpu", torch.float32))
    return _contiguous(merge_surfels(parts))


def _mark(selected: Marks | None, layer: Layer, state: Surfels) -> Float[Tensor, " n"]:
    mask = None if selected is None else selected.get(layer.name)
    return torch.zeros(len(state)) if mask is None or len(mask) != len(state) else mask.float()


def _known(confidence: Confidences | None, layer: Layer, state: Surfels, look: Look) -> Float[Tensor, " n"]:
    known = None if confidence is None or not look.guesses else confidence.get(layer.name)
    return torch.ones(len(state)) if known is None or len(known) != len(state) else known.float()


def _contiguous(surfels: Surfels) -> Surfels:
    return Surfels(**{name: tensor.contiguous() for name, tensor in surfels.tensors().items()})


def _painted(image: RasterOutput, look: Look, *, own_colors: bool) -> tuple[Tensor, Tensor]:
    """Premultiplied colours [H, W, 3] of the mode, and coverage."""
    alpha = image.alpha
    if look.mode == "Depth":
        solid = image.depth[alpha >= _SOLID]
        near, far = (0.0, 1.0) if not len(solid) else np.quantile(solid.numpy(), [0.01, 0.99]).tolist()
        table = torch.from_numpy(depth_map()).float()
        share = ((image.depth[..., 0] - near) / max(far - near, 1e-9)).clamp(0, 1)
        return table[(share * 255).round().long()] * alpha, alpha
    if look.mode == "Coverage":
        return alpha.expand(-1, -1, 3), torch.ones_like(alpha)
    normal = torch.nn.functional.normalize(image.normal, dim=-1)
    if look.mode == "Normals":
        return (0.5 + 0.5 * normal * normal.new_tensor([1.0, -1.0, -1.0])) * alpha, alpha
    color = image.color[..., :3] * look.brightness
    if look.mode in ("Confidence", "Bones", "Trails"):
        return color * (0.5 + 0.5 * normal[..., 2:].abs()), alpha
    if look.lamp > 0:
        azimuth, height = math.radians(look.lamp_azimuth), math.radians(look.lamp_elevation)
        toward = (math.cos(height) * math.sin(azimuth), -math.sin(height), -math.cos(height) * math.cos(azimuth))
        diffuse = (normal * normal.new_tensor(toward)).sum(-1, keepdim=True).clamp_min(0)
        color = color * (1 - look.lamp + look.lamp * (0.25 + 0.95 * diffuse))
    return color, alpha


def _marked(color: Tensor, image: RasterOutput, look: Look) -> Tensor:
    """Selected surfels are tinted and outlined; unseen ones are tinted."""
    if look.mode == "Coverage":
        return color
    chosen, unseen = image.color[..., -2:-1].clamp(0, 1), image.color[..., -1:].clamp(0, 1)
    if look.guesses:
        color = color * (1 - _UNSEEN_TINT * unseen / image.alpha.clamp_min(1e-6).clamp_min(unseen))
        color = color + _UNSEEN_TINT * unseen * color.new_tensor(UNSEEN)
    if bool((chosen > 0).any()):
        share = chosen / image.alpha.clamp_min(1e-6)
        color = color * (1 - _TINT * share.clamp(0, 1)) + _TINT * chosen * color.new_tensor(SELECTED)
        color = torch.where(_outline(chosen[..., 0] > _RIM)[..., None], color.new_tensor(SELECTED), color)
    return color


def _outline(mask: Tensor) -> Tensor:
    """Pixels of a mask with a neighbour outside."""
    inner = torch.nn.functional.max_pool2d((~mask).float()[None, None], 3, stride=1, padding=1)[0, 0] > 0
    return mask & inner
