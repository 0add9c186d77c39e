"""The refined branch: surfels that are drawn with another turn and size than the surface has.

Colour and geometry pull the same surfel two ways: sharp texture wants small or tilted surfels, a smooth surface wants
large ones that lie in it.  With two branches the plain surfel carries the surface and the refined one the picture.
Both share centres, opacities, colours and warp.  After the dual branch of Vidu4D (arXiv 2405.16822).
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from recon4d.core import InputError, Surfels, quaternion
from recon4d.field.rows import take


@dataclass(frozen=True, eq=False)
class Refined:
    """What the refined branch of N surfels has of its own.

    Attributes:
        rotations_wxyz: [N, 4] extra rotations in the surfels' own axes, that is, on the right of the canonical ones.
            Need not be normalised, must not be zero.
        scales: [N, 2] standard deviations along the refined axes, in place of the plain ones; scene units, >= 0.
    """

    rotations_wxyz: Float[Tensor, "n 4"]
    scales: Float[Tensor, "n 2"]

    def __post_init__(self) -> None:
        count = self.scales.shape[0]
        for name, tensor, width in (("rotations_wxyz", self.rotations_wxyz, 4), ("scales", self.scales, 2)):
            if tuple(tensor.shape) != (count, width):
                raise InputError(
                    f"Refined.{name}",
                    expected=f"shape {[count, width]}, one row per surfel",
                    got=f"shape {list(tensor.shape)}",
                    fix="give both arrays one row per surfel",
                )

    @staticmethod
    def like(surfels: Surfels) -> Refined:
        """The refined branch that changes nothing about surfels without batch axes; where a fit starts."""
        rotations = surfels.rotations_wxyz.new_zeros(len(surfels), 4)
        rotations[:, 0] = 1.0
        return Refined(rotations, surfels.scales.detach().clone())

    def __len__(self) -> int:
        """Number of surfels N."""
        return self.scales.shape[0]

    def appearance_of(self, state: Surfels) -> Surfels:
        """The surfels to draw, of the plain ones: canonical [N], or moved by a warp [N] or [T, N]."""
        return state.replace(
            rotations_wxyz=quaternion.multiply(state.rotations_wxyz, self.rotations_wxyz), scales=self.scales
        )

    def tensors(self) -> dict[str, Tensor]:
        """Both arrays by name."""
        return {"rotations_wxyz": self.rotations_wxyz, "scales": self.scales}

    def select(self, rows: Int64[Tensor, " m"] | Bool[Tensor, " n"]) -> Refined:
        """The rows of some surfels."""
        return Refined(take(self.rotations_wxyz, rows), take(self.scales, rows))

    def to(self, *args: object, **kwargs: object) -> Refined:
        """As `torch.Tensor.to`, applied to both arrays."""
        return Refined(**{k: v.to(*args, **kwargs) for k, v in self.tensors().items()})  # type: ignore[call-overload]
