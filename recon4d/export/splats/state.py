"""The surfels of a scene at one moment, as files of Gaussian splats want them: in the world, with turned colours.

Does NOT write files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from recon4d.core import InputError, Surfels, quaternion
from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.editors.shapes import turn_colors
from recon4d.scene import Layer, merge_surfels

_ROWS_AT_ONCE = 16_384  # colours that are turned at once, for their memory


@dataclass(frozen=True, eq=False)
class Splats:
    """N surfels in the world.

    Attributes:
        centers: [N, 3] scene units, or the file's.
        rotations_wxyz: [N, 4] unit quaternions world_from_surfel, w >= 0; the third axis is the normal.
        scales: [N, 2] standard deviations along the first two axes, as the centres.
        opacities: [N] in [0, 1].
        sh: [N, K, 3] colour coefficients in the world's frame; colour is 0.5 + their sum.
    """

    centers: Float32[np.ndarray, "n 3"]
    rotations_wxyz: Float32[np.ndarray, "n 4"]
    scales: Float32[np.ndarray, "n 2"]
    opacities: Float32[np.ndarray, " n"]
    sh: Float32[np.ndarray, "n k 3"]

    def __len__(self) -> int:
        """Number of splats N."""
        return len(self.centers)

    @property
    def normals(self) -> Float32[np.ndarray, "n 3"]:
        """[N, 3] unit normals in the world."""
        w, x, y, z = self.rotations_wxyz.T
        return np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], -1)


@torch.no_grad()
def splats_at(
    layers: Sequence[Layer],
    time: float,
    target_from_world_wxyz: Float[Tensor, " 4"] | None = None,
    scale: float = 1.0,
) -> Splats:
    """What is drawn of some layers at a moment, one after the other.

    Args:
        layers: at least one.
        time: seconds.
        target_from_world_wxyz: [4] a rotation to other axes, where the file's are not the world's.
        scale: lengths in the file for one in the scene.

    Raises:
        InputError: a layer with neither spherical harmonics nor three features as colours.
    """
    merged = merge_surfels([with_harmonics(layer, layer.field.appearance_at(time)) for layer in layers])
    assert merged.sh is not None
    assert merged.world_from_canonical_wxyz is not None
    centers, turns, moved = merged.centers, merged.rotations_wxyz, merged.world_from_canonical_wxyz
    if target_from_world_wxyz is not None:
        target = target_from_world_wxyz.to(centers)
        centers = quaternion.rotate(target, centers)
        turns, moved = quaternion.multiply(target, turns), quaternion.multiply(target, moved)
    turns = quaternion.normalize(turns)
    turns = torch.where(turns[:, :1] < 0, -turns, turns)
    return Splats(
        _array(centers * scale),
        _array(turns),
        _array(merged.scales * scale),
        _array(merged.opacities.clamp(0, 1)),
        _array(torch.cat(list(map(turn_colors, merged.sh.split(_ROWS_AT_ONCE), moved.split(_ROWS_AT_ONCE))))),
    )


def with_harmonics(layer: Layer, surfels: Surfels) -> Surfels:
    """Surfels whose colours are spherical harmonics only; three features without them count as colours.

    Raises:
        InputError: neither of the two.
    """
    if surfels.sh is not None:
        return surfels.replace(features=None)
    features = surfels.features
    if features is None or features.shape[-1] != 3:
        raise InputError(
            f"layer {layer.name!r}",
            expected="colours: spherical harmonics or three features",
            got="no colours" if features is None else f"{features.shape[-1]} features",
            fix="choose other layers",
        )
    return surfels.replace(sh=coefficients_from_color(features), features=None)


def _array(tensor: Tensor) -> Float32[np.ndarray, "..."]:
    return tensor.detach().float().cpu().contiguous().numpy()
