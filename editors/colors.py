"""Changes of colour as affine maps of display sRGB: c goes to M c + b, which spherical harmonics can follow exactly.

A colour is 0.5 plus a sum of coefficients times basis functions, so M turns every coefficient and b moves the first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from recon4d.core import InputError, Surfels

SH_CONSTANT = math.sqrt(1 / math.pi) / 2
_LUMA = (0.2126, 0.7152, 0.0722)

Color = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class ColorMap:
    """c goes to matrix c + offset.

    Attributes:
        matrix: [3, 3].
        offset: [3].
    """

    matrix: Tensor
    offset: Tensor

    def then(self, other: ColorMap) -> ColorMap:
        """First this, then the other."""
        return ColorMap(other.matrix @ self.matrix, other.matrix @ self.offset + other.offset)


def luma(colors: Tensor) -> Tensor:
    """[...] brightness of colours [..., 3] (the weights of BT.709)."""
    return colors @ colors.new_tensor(_LUMA)


def flat(color: Color) -> ColorMap:
    """Everything takes one colour."""
    return ColorMap(torch.zeros(3, 3), torch.tensor(color))


def tint(color: Color, usual_luma: float) -> ColorMap:
    """Takes the colour and keeps the shading: what has the usual brightness becomes the colour itself."""
    shading = torch.tensor(_LUMA) / max(usual_luma, 1e-3)
    return ColorMap(torch.outer(torch.tensor(color), shading), torch.zeros(3))


def multiply(color: Color) -> ColorMap:
    """Every channel times that of the colour."""
    return ColorMap(torch.diag(torch.tensor(color)), torch.zeros(3))


def grade(exposure: float, contrast: float, saturation: float, hue: float, gain: Color, lift: Color) -> ColorMap:
    """The usual controls, in this order: exposure, gain, contrast, saturation, hue, lift.

    Args:
        exposure: stops; colours times 2^exposure.
        contrast: times the distance from middle grey.
        saturation: times the distance from the colour's own grey; 0 is black and white.
        hue: degrees by which colours are turned about grey.
        gain: factor for each channel.
        lift: added to each channel.
    """
    zero, eye = torch.zeros(3), torch.eye(3)
    grey = torch.tensor(_LUMA).expand(3, 3)
    turned = _turn_about_grey(math.radians(hue))
    return (
        ColorMap(eye * 2.0**exposure, zero)
        .then(multiply(gain))
        .then(ColorMap(eye * contrast, torch.full((3,), 0.5 * (1 - contrast))))
        .then(ColorMap(saturation * eye + (1 - saturation) * grey, zero))
        .then(ColorMap(turned, zero))
        .then(ColorMap(eye, torch.tensor(lift)))
    )


def recolored(surfels: Surfels, rows: Tensor, shares: Tensor, mapped: ColorMap) -> Surfels:
    """Surfels with the colours of some rows taken part of the way to where the map puts them.

    Args:
        surfels: N surfels, colours with or without the axis of T moments.
        rows: [M] indices.
        shares: [M] or [T, M] how far, 0 to 1; batched, they make the colours batched.
        mapped: the map.

    Raises:
        InputError: features that are no colours.
    """
    if surfels.sh is not None:
        sh = _batched(surfels.sh, 3, shares)
        matrix, offset = mapped.matrix.to(sh), mapped.offset.to(sh)
        part = sh.index_select(-3, rows)
        moved = part @ matrix.T
        moved[..., 0, :] += (matrix.sum(1) * 0.5 + offset - 0.5) / SH_CONSTANT
        weights = shares.to(sh)[..., None, None]
        return surfels.replace(sh=_put(sh, rows, torch.lerp(part, moved, weights), -3))
    features = surfels.features
    if features is None or features.shape[-1] != 3:
        got = "no colours" if features is None else f"{features.shape[-1]} features"
        raise InputError("select", expected="surfels with colours", got=got, fix="select other layers")
    features = _batched(features, 2, shares)
    part = features.index_select(-2, rows)
    moved = part @ mapped.matrix.to(part).T + mapped.offset.to(part)
    return surfels.replace(features=_put(features, rows, torch.lerp(part, moved, shares.to(part)[..., None]), -2))


def _batched(colors: Tensor, rank: int, shares: Tensor) -> Tensor:
    return colors.expand(len(shares), *colors.shape) if shares.dim() == 2 and colors.dim() == rank else colors


def _put(colors: Tensor, rows: Tensor, part: Tensor, axis: int) -> Tensor:
    changed = colors.clone(memory_format=torch.contiguous_format)
    return changed.index_copy_(axis + changed.dim(), rows, part)


def _turn_about_grey(angle: float) -> Tensor:
    """Rotation about the axis (1, 1, 1)."""
    axis = torch.full((3,), math.sqrt(1 / 3), dtype=torch.float64)
    cross = torch.tensor([[0, -1.0, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64) * math.sqrt(1 / 3)
    outer = torch.outer(axis, axis)
    turned = (
        math.cos(angle) * torch.eye(3, dtype=torch.float64) + math.sin(angle) * cross + (1 - math.cos(angle)) * outer
    )
    return turned.float()
