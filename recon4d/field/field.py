"""A field: canonical surfels, their ids, the warp that carries them through time, and how they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from recon4d.core import InputError, Surfels, quaternion
from recon4d.field.refined import Refined
from recon4d.field.rows import rows_of, take
from recon4d.field.warp import Warp


@dataclass(frozen=True, eq=False)
class Field:
    """N surfels in their canonical state, and how they move.

    Attributes:
        canonical: the surfels without batch axis and without `world_from_canonical_wxyz`, which the warp fills in.
        ids: [N] stable 64-bit ids, unique, kept through densification, selection and saving.
        warp: where everything goes; same dtype and device as `canonical`.
        refined: turn and size that the surfels are drawn with where these differ from those of the surface; None where
            one surfel serves for both.
    """

    canonical: Surfels
    ids: Int64[Tensor, " n"]
    warp: Warp
    refined: Refined | None = None

    def __post_init__(self) -> None:
        count, centers = len(self.canonical), self.canonical.centers
        ranks = {name: tensor.dim() for name, tensor in self.canonical.tensors().items()}
        expected = {"centers": 2, "rotations_wxyz": 2, "scales": 2, "opacities": 1, "sh": 3, "features": 2}
        wrong = [name for name, rank in ranks.items() if expected.get(name) != rank]
        if wrong:
            raise InputError(
                "Field.canonical",
                expected="surfels without batch axes and without world_from_canonical_wxyz",
                got=", ".join(f"{name} {list(self.canonical.tensors()[name].shape)}" for name in wrong),
                fix="leave the moving to the warp",
            )
        if self.ids.dtype != torch.int64 or tuple(self.ids.shape) != (count,):
            raise InputError(
                "Field.ids",
                expected=f"int64 [{count}], one id per surfel",
                got=f"{self.ids.dtype} {list(self.ids.shape)}",
                fix="start with torch.arange(n)",
            )
        if self.warp.point_count not in (None, count):
            raise InputError(
                "Field.warp",
                expected=f"a warp bound to {count} surfels",
                got=f"one bound to {self.warp.point_count}",
                fix="select the same rows of surfels, ids and warp (Field.select does)",
            )
        if not self.warp.is_like(centers):
            raise InputError(
                "Field.warp",
                expected=f"tensors of {centers.dtype} on {centers.device}, like the surfels",
                got="another dtype or device",
                fix="convert it with warp.to(...)",
            )
        refined = self.refined
        if refined is not None and (
            len(refined) != count
            or any((t.dtype, t.device) != (centers.dtype, centers.device) for t in refined.tensors().values())
        ):
            raise InputError(
                "Field.refined",
                expected=f"{count} rows of {centers.dtype} on {centers.device}, like the surfels",
                got=f"{len(refined)} rows of {refined.scales.dtype} on {refined.scales.device}",
                fix="select the same rows and convert it with refined.to(...)",
            )

    def __len__(self) -> int:
        """Number of surfels N."""
        return len(self.canonical)

    def at(self, time: float | int) -> Surfels:
        """The surface at one moment (seconds), without batch axis; `world_from_canonical_wxyz` is filled in."""
        state = self.at_times([time])
        assert state.world_from_canonical_wxyz is not None
        return state.replace(
            centers=state.centers[0],
            rotations_wxyz=state.rotations_wxyz[0],
            world_from_canonical_wxyz=state.world_from_canonical_wxyz[0],
        )

    def at_times(self, times: Sequence[float | int] | Float[Tensor, " t"]) -> Surfels:
        """The surface at T moments (seconds): for depth, normals, coverage, meshes.

        `centers` [T, N, 3], `rotations_wxyz` and `world_from_canonical_wxyz` [T, N, 4] are batched; scales, opacities
        and colours are the canonical ones, shared by all moments.  Differentiable in the surfels and the warp.
        """
        moments = torch.as_tensor(times, dtype=torch.float64, device=self.canonical.centers.device)
        centers, turns = self.warp.at_times(self.canonical.centers, moments)
        return self.canonical.replace(
            centers=centers,
            rotations_wxyz=quaternion.multiply(turns, self.canonical.rotations_wxyz),
            world_from_canonical_wxyz=turns,
        )

    def appearance_at(self, time: float | int) -> Surfels:
        """The surfels to draw in colour at one moment, as `at`; the same as `at` where nothing is refined."""
        state = self.at(time)
        return state if self.refined is None else self.refined.appearance_of(state)

    def appearance_at_times(self, times: Sequence[float | int] | Float[Tensor, " t"]) -> Surfels:
        """The surfels to draw in colour at T moments, as `at_times`; scales are shared by all moments."""
        state = self.at_times(times)
        return state if self.refined is None else self.refined.appearance_of(state)

    def select(self, rows: Int64[Tensor, " m"] | Bool[Tensor, " n"]) -> Field:
        """The field of some surfels: rows by index [M] (in that order) or by mask [N]; ids go along."""
        picked = rows_of(rows) if rows.dtype == torch.bool else rows
        return Field(
            Surfels(**{name: take(tensor, picked) for name, tensor in self.canonical.tensors().items()}),
            take(self.ids, picked),
            self.warp.select(picked),
            None if self.refined is None else self.refined.select(picked),
        )

    def to(self, *args: object, **kwargs: object) -> Field:
        """As `torch.Tensor.to`, applied to surfels, warp and refined branch; ids stay int64."""
        canonical = self.canonical.to(*args, **kwargs)
        return Field(
            canonical,
            self.ids.to(canonical.centers.device),
            self.warp.to(*args, **kwargs),
            None if self.refined is None else self.refined.to(*args, **kwargs),
        )
