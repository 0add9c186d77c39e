"""One field out of several, each part moving as before.

Bones, paths and things that stand still become bones of one warp, which exporters can follow; where that cannot be
exact, the parts keep warps of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from recon4d.core import InputError, SE3Spline, Surfels
from recon4d.editors.edited_field import EditedField, Step, plain_of
from recon4d.editors.ride_step import released, ride_of
from recon4d.editors.steps import ClockStep, MoveStep, RowsStep
from recon4d.field import BonesWarp, Field, IdentityWarp, Refined, RigidWarp, Warp


@dataclass(frozen=True, eq=False)
class JoinedWarp(Warp):
    """Points of several warps, one after the other.

    Attributes:
        parts: the warps.
        counts: how many points each moves.
    """

    parts: tuple[Warp, ...]
    counts: tuple[int, ...]

    def at_times(
        self, centers: Float[Tensor, "*#moments n 3"], times: Float[Tensor, " t"]
    ) -> tuple[Float[Tensor, "t n 3"], Float[Tensor, "t n 4"]]:
        """See `Warp.at_times`."""
        pieces = centers.split(self.counts, dim=-2)
        moved = [warp.at_times(piece, times) for warp, piece in zip(self.parts, pieces, strict=True)]
        return torch.cat([points for points, _ in moved], 1), torch.cat([turns for _, turns in moved], 1)

    def select(self, rows: Int64[Tensor, " m"] | Bool[Tensor, " n"]) -> Warp:
        """See `Warp.select`; rows that mix the parts are sorted out into runs."""
        picked = torch.nonzero(rows)[:, 0] if rows.dtype == torch.bool else rows
        ends = torch.tensor(self.counts).cumsum(0)
        owner = torch.searchsorted(ends, picked, right=True)
        turns = torch.nonzero(owner.diff())[:, 0].add(1).tolist()
        parts, counts = [], []
        for run in torch.tensor_split(torch.arange(len(picked)), turns):
            if len(run):
                part = int(owner[run[0]])
                first = int(ends[part]) - self.counts[part]
                parts.append(self.parts[part].select(picked[run] - first))
                counts.append(len(run))
        return JoinedWarp(tuple(parts), tuple(counts))

    @property
    def point_count(self) -> int:
        """Number of points."""
        return sum(self.counts)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of all parts."""
        return {f"parts[{i}].{n}": t for i, part in enumerate(self.parts) for n, t in part.tensors().items()}

    def to(self, *args: object, **kwargs: object) -> JoinedWarp:
        """See `Warp.to`."""
        return replace(self, parts=tuple(part.to(*args, **kwargs) for part in self.parts))


def merge_fields(fields: Sequence[Field]) -> Field:
    """The surfels of several fields as one field, in order; ids as they are.

    Raises:
        InputError: colours that do not go together, or a part whose clock was changed.
    """
    fields = [released(field) for field in fields]
    if any(ride_of(field) is not None for field in fields):
        got = "one that rides on a layer that changes over time"
        fix = "merge the layers before the edits over time"
        raise InputError("layers", expected="layers that move by themselves", got=got, fix=fix)
    plain = [plain_of(field) for field in fields]
    surfels = [field.canonical for field in plain]
    if len({(s.sh is None, None if s.features is None else s.features.shape[1]) for s in surfels}) > 1:
        raise InputError("layers", expected="colours of one kind", got="several kinds", fix="choose other layers")
    tensors = {}
    for name in surfels[0].tensors():
        arrays = [getattr(s, name) for s in surfels]
        if name == "sh":
            most = max(a.shape[1] for a in arrays)
            arrays = [torch.nn.functional.pad(a, (0, 0, 0, most - a.shape[1])) for a in arrays]
        tensors[name] = torch.cat(arrays)
    refined = None
    if any(field.refined is not None for field in plain):
        shown = [field.refined or Refined.like(field.canonical) for field in plain]
        refined = Refined(torch.cat([r.rotations_wxyz for r in shown]), torch.cat([r.scales for r in shown]))
    ids = torch.cat([field.ids for field in plain])
    merged = Field(Surfels(**tensors), ids, _merged_warp(plain), refined)
    steps = _merged_steps(fields)
    return EditedField(merged.canonical, ids, merged.warp, refined, steps) if steps else merged


def _merged_steps(fields: Sequence[Field]) -> tuple[Step, ...]:
    steps: list[Step] = []
    offset = 0
    for field in fields:
        if isinstance(field, EditedField):
            for step in field.steps:
                if isinstance(step, ClockStep) or not isinstance(step, RowsStep):
                    got = "a layer whose clock was changed over time"
                    fix = "merge the layers before changing their clock"
                    raise InputError("layers", expected="layers that keep the scene's time", got=got, fix=fix)
                moved = replace(step, rows=step.rows + offset)
                if isinstance(moved, MoveStep) and moved.carrier is None:
                    moved = replace(moved, carrier=field.warp.underlying)
                steps.append(moved)
        offset += len(field)
    return tuple(steps)


def _merged_warp(fields: Sequence[Field]) -> Warp:
    warps = [field.warp for field in fields]
    same = all(warp is warps[0] for warp in warps) and warps[0].point_count is None
    if same or all(isinstance(warp, IdentityWarp) for warp in warps):
        return warps[0]
    bones = [_as_bones(field) for field in fields]
    known = [warp for warp in bones if warp is not None]
    if len(known) == len(fields) and _alike(known):
        offsets = torch.tensor([0, *(len(warp.rest_translations) for warp in known)]).cumsum(0).tolist()
        return replace(
            known[0],
            rest_rotations_wxyz=torch.cat([warp.rest_rotations_wxyz for warp in known]),
            rest_translations=torch.cat([warp.rest_translations for warp in known]),
            path=replace(
                known[0].path,
                rotations_wxyz=torch.cat([_stretched(warp.path, known).rotations_wxyz for warp in known]),
                translations=torch.cat([_stretched(warp.path, known).translations for warp in known]),
                start=_grid(known).start,
                step=_grid(known).step,
            ),
            weight_indices=torch.cat([w.weight_indices + o for w, o in zip(known, offsets[:-1], strict=True)]),
            weights=torch.cat([warp.weights for warp in known]),
        )
    return JoinedWarp(tuple(warps), tuple(len(field) for field in fields))


def _as_bones(field: Field) -> BonesWarp | None:
    """A warp as bones, where that is exact."""
    warp, centers = field.warp, field.canonical.centers
    if type(warp) is BonesWarp:
        return warp
    if isinstance(warp, RigidWarp):
        path = warp.path
    elif isinstance(warp, IdentityWarp):
        path = SE3Spline.constant(centers.new_tensor([1.0, 0, 0, 0]), centers.new_zeros(3))
    else:
        return None
    weights = centers.new_zeros(len(centers), 4)
    weights[:, 0] = 1
    return BonesWarp(
        root=None,
        rest_rotations_wxyz=centers.new_tensor([[1.0, 0, 0, 0]]),
        rest_translations=centers.new_zeros(1, 3),
        path=replace(path, rotations_wxyz=path.rotations_wxyz[None], translations=path.translations[None]),
        weight_indices=torch.zeros(len(centers), 4, dtype=torch.int64),
        weights=weights,
    )


def _alike(warps: Sequence[BonesWarp]) -> bool:
    """Whether the bones can stand side by side unchanged: no roots, one blend, one grid of times but for what rests."""
    single = [warp for warp in warps if len(warp.rest_translations) > 1 or not _is_still(warp.path)]
    grids = {(warp.path.start, warp.path.step, warp.path.count) for warp in single}
    # A lone bone blends alike either way.
    blends = {warp.blend for warp in warps if len(warp.rest_translations) > 1}
    same_blend = len(blends) <= 1 and (not blends or blends == {warps[0].blend})
    return all(warp.root is None for warp in warps) and len(grids) <= 1 and same_blend


def _is_still(path: SE3Spline) -> bool:
    first = slice(0, 1)
    return bool((path.rotations_wxyz == path.rotations_wxyz[..., first, :]).all()) and bool(
        (path.translations == path.translations[..., first, :]).all()
    )


def _grid(warps: Sequence[BonesWarp]) -> SE3Spline:
    return next((warp.path for warp in warps if not _is_still(warp.path)), warps[0].path)


def _stretched(path: SE3Spline, warps: Sequence[BonesWarp]) -> SE3Spline:
    """The path on the grid of times of the others; only what stands still is on another."""
    grid = _grid(warps)
    if (path.start, path.step, path.count) == (grid.start, grid.step, grid.count):
        return path
    return SE3Spline.constant(
        path.rotations_wxyz[:, 0], path.translations[:, 0], start=grid.start, step=grid.step, count=grid.count
    )
