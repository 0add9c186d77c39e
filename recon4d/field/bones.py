"""The warp of what bends: bones that move along paths, and points that follow them by weight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from recon4d.core import InputError, quaternion
from recon4d.core.spline import SE3Spline
from recon4d.field.blending import blend_dual_quaternion, blend_linear
from recon4d.field.rows import take
from recon4d.field.warp import Warp, spline_tensors

BLENDS = ("linear", "dual_quaternion")


@dataclass(frozen=True, eq=False)
class BonesWarp(Warp):
    """B bones that move in the frame of a root, and N points bound to four bones each.

    A point p goes to the blend over its bones b of root(t) o pose_b(t) o inverse(rest_b) applied to p.  The idea of
    Gaussian bones with blended quaternions follows BANMo / lab4d and Vidu4D; linear blending is the default because it
    is what glTF does, so that what is fitted is what is exported.

    Attributes:
        root: world_from_root over time, without batch axes; None means the root stands at the world's origin.
        rest_rotations_wxyz: [B, 4] quaternions of canonical_from_bone at rest.
        rest_translations: [B, 3] positions of the bones at rest, scene units.
        path: root_from_bone over time, batch axis [B].
        weight_indices: [N, 4] bones of each point, in [0, B).
        weights: [N, 4] weights >= 0 that sum to 1; a slot out of use has weight 0 and any valid bone.
        blend: "linear" or "dual_quaternion".
    """

    root: SE3Spline | None
    rest_rotations_wxyz: Float[Tensor, "b 4"]
    rest_translations: Float[Tensor, "b 3"]
    path: SE3Spline
    weight_indices: Int64[Tensor, "n 4"]
    weights: Float[Tensor, "n 4"]
    blend: Literal["linear", "dual_quaternion"] = "linear"

    def __post_init__(self) -> None:
        if self.blend not in BLENDS:
            raise InputError("blend", expected=" or ".join(BLENDS), got=repr(self.blend), fix="use linear")
        bones, points = self.rest_rotations_wxyz.shape[0], self.weights.shape[0]
        shapes = {
            "rest_rotations_wxyz": (self.rest_rotations_wxyz, (bones, 4)),
            "rest_translations": (self.rest_translations, (bones, 3)),
            "path.rotations_wxyz": (self.path.rotations_wxyz, (bones, self.path.rotations_wxyz.shape[-2], 4)),
            "weight_indices": (self.weight_indices, (points, 4)),
            "weights": (self.weights, (points, 4)),
        }
        for name, (tensor, shape) in shapes.items():
            if tuple(tensor.shape) != shape:
                raise InputError(
                    f"BonesWarp.{name}",
                    expected=f"shape {list(shape)} for {bones} bones and {points} points",
                    got=f"shape {list(tensor.shape)}",
                    fix="give every array one row per bone, or per point",
                )
        if bones < 1 or self.weight_indices.dtype != torch.int64:
            raise InputError(
                "BonesWarp",
                expected="at least one bone and weight_indices of type int64",
                got=f"{bones} bones, {self.weight_indices.dtype}",
                fix="use a RigidWarp when there are no bones",
            )

    @property
    def point_count(self) -> int:
        """Number of points N bound to the bones."""
        return self.weights.shape[0]

    def poses_at(self, times: Float[Tensor, " t"]) -> tuple[Float[Tensor, "t b 4"], Float[Tensor, "t b 3"]]:
        """world_from_bone of every bone: unit quaternions [T, B, 4] and positions [T, B, 3]."""
        rotations, translations = (x.transpose(0, 1) for x in self.path.at(times))
        if self.root is None:
            return rotations, translations
        root_rotations, root_translations = (x[:, None] for x in self.root.at(times))
        return (
            quaternion.multiply(root_rotations, rotations),
            quaternion.rotate(root_rotations, translations) + root_translations,
        )

    def transforms_at(self, times: Float[Tensor, " t"]) -> tuple[Float[Tensor, "t b 4"], Float[Tensor, "t b 3"]]:
        """world_from_canonical that each bone would apply: pose o inverse(rest), as [T, B, 4] and [T, B, 3]."""
        rotations, translations = self.poses_at(times)
        rotations = quaternion.multiply(rotations, quaternion.conjugate(quaternion.normalize(self.rest_rotations_wxyz)))
        return rotations, translations - quaternion.rotate(rotations, self.rest_translations[None])

    def at_times(
        self, centers: Float[Tensor, "*#moments n 3"], times: Float[Tensor, " t"]
    ) -> tuple[Float[Tensor, "t n 3"], Float[Tensor, "t n 4"]]:
        """Points and rotations at every time, see `Warp.at_times`; `centers` are the N points that are bound."""
        blend = blend_linear if self.blend == "linear" else blend_dual_quaternion
        return blend(centers, self.weights, self.weight_indices, *self.transforms_at(times))

    def select(self, rows: Int64[Tensor, " m"] | Bool[Tensor, " n"]) -> BonesWarp:
        """The same bones with the bindings of some points."""
        return replace(self, weight_indices=take(self.weight_indices, rows), weights=take(self.weights, rows))

    def tensors(self) -> dict[str, Tensor]:
        """Rest poses, paths and bindings by name."""
        return {
            **spline_tensors("root", self.root),
            "rest_rotations_wxyz": self.rest_rotations_wxyz,
            "rest_translations": self.rest_translations,
            **spline_tensors("path", self.path),
            "weight_indices": self.weight_indices,
            "weights": self.weights,
        }

    def to(self, *args: object, **kwargs: object) -> BonesWarp:
        """As `torch.Tensor.to`, applied to every tensor; indices stay int64."""
        weights = self.weights.to(*args, **kwargs)  # type: ignore[call-overload]
        return replace(
            self,
            root=None if self.root is None else self.root.to(*args, **kwargs),
            rest_rotations_wxyz=self.rest_rotations_wxyz.to(*args, **kwargs),  # type: ignore[call-overload]
            rest_translations=self.rest_translations.to(*args, **kwargs),  # type: ignore[call-overload]
            path=self.path.to(*args, **kwargs),
            weight_indices=self.weight_indices.to(weights.device),
            weights=weights,
        )
