"""Which surfels of an edited scene were filmed, and as which of the scene without its edits: by their stable ids.

Does NOT know meshes or pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from recon4d.field import Field
from recon4d.scene import Layer, Scene

_SAME_PLACE = 1e-3  # of the layer's size, by which most surfels may be away and a layer still be where it was


@dataclass(frozen=True, eq=False)
class Origins:
    """Where the N surfels of a layer come from.

    Attributes:
        layers: [N] number of the layer of the unedited scene, -1 for surfels that edits have made.
        rows: [N] rows of that layer's field, 0 where there is none.
    """

    layers: Int64[Tensor, " n"]
    rows: Int64[Tensor, " n"]

    @property
    def known(self) -> Bool[Tensor, " n"]:
        """[N] whether the film can have seen them."""
        return self.layers >= 0


def origins_of(layer: Layer, unedited: Scene) -> Origins:
    """Find a layer's surfels in the unedited scene.

    Ids are only unique within a layer, and edits rename, split and merge layers.  Where several layers have an id, the
    one counts whose surfels are where these are, then the one of the same name.
    """
    field = layer.field
    layers = torch.full((len(field),), -1, dtype=torch.int64)
    rows = torch.zeros(len(field), dtype=torch.int64)
    found = []
    for number, other in enumerate(unedited.layers):
        mine = _rows_by_id(other.field.ids.cpu(), field.ids.cpu())
        if bool((mine >= 0).any()):
            away = _away(field, other.field, mine)
            found.append(((away > _SAME_PLACE, other.name != layer.name, away, number), mine))
    for (*_, number), mine in sorted(found, key=lambda entry: entry[0]):
        free = (layers < 0) & (mine >= 0)
        layers[free], rows[free] = number, mine[free]
    return Origins(layers, rows)


def owners_of(scene: Scene, unedited: Scene) -> tuple[Float32[Tensor, "_ l"], ...]:
    """For every layer of the unedited scene, [N, L] 1 for the layer of the edited one that a surfel is in."""
    owners = tuple(torch.zeros(len(layer.field), len(scene.layers)) for layer in unedited.layers)
    for number, layer in enumerate(scene.layers):
        if scene is unedited:
            owners[number][:, number] = 1
            continue
        origins = origins_of(layer, unedited)
        for before, owner in enumerate(owners):
            owner[origins.rows[origins.layers == before], number] = 1
    return owners


def _rows_by_id(known: Int64[Tensor, " m"], wanted: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """[N] the row of each wanted id, -1 where there is none."""
    if not len(known):
        return torch.full_like(wanted, -1)
    ordered, order = known.sort()
    place = torch.searchsorted(ordered, wanted).clamp(max=len(known) - 1)
    return torch.where(ordered[place] == wanted, order[place], -1)


def _away(field: Field, other: Field, rows: Int64[Tensor, " n"]) -> float:
    """How far the shared surfels lie from each other in the canonical state, as a share of their size."""
    shared = rows >= 0
    here = _centers(field)[shared]
    size = float((here.amax(0) - here.amin(0)).norm())
    return float((here - _centers(other)[rows[shared]]).norm(dim=-1).median()) / max(size, 1e-12)


def _centers(field: Field) -> Float[Tensor, "n 3"]:
    return field.canonical.centers.detach().double().cpu()
