"""Selections that go along the surface: grow, shrink, a part around a seed, a flood of like colours.

Neighbours are the nearest surfels of a layer in its canonical state; the graph of each layer is made once and kept as
long as its centres are.
"""

from __future__ import annotations

import math
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from recon4d.core import InputError, quaternion
from recon4d.editors.keys import check_range
from recon4d.editors.selections.base import Selection, chosen
from recon4d.editors.selections.properties import colors_of
from recon4d.editors.state import State
from recon4d.scene import Layer

_NEIGHBOURS = 8
_GAP = 4.0  # times the usual distance: farther neighbours do not touch


@dataclass(frozen=True)
class Grow(Selection, kind="grow"):
    """A selection and what lies within a distance of it, in the same layers.

    Attributes:
        of: the selection.
        distance: > 0, scene units, in the canonical state.
    """

    of: Selection
    distance: float

    def __post_init__(self) -> None:
        _check_length("distance", self.distance)

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        found = chosen(self.of, state, "of")
        return {name: _near(_centers(state, name), mask, self.distance) for name, mask in found.items()}


@dataclass(frozen=True)
class Shrink(Selection, kind="shrink"):
    """A selection without what lies within a distance of the rest of its layers.

    Attributes:
        of: the selection.
        distance: > 0, scene units, in the canonical state.
    """

    of: Selection
    distance: float

    def __post_init__(self) -> None:
        _check_length("distance", self.distance)

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        found = chosen(self.of, state, "of")
        return {
            name: mask if bool(mask.all()) else ~_near(_centers(state, name), ~mask, self.distance)
            for name, mask in found.items()
        }


@dataclass(frozen=True)
class AlongSurface(Selection, kind="surface"):
    """A part that grows from a seed along the surface, up to a distance or a crease.

    Attributes:
        seed: where it starts, as a click's ray.
        reach: length of the way along the surface, scene units.
        crease: degrees; it does not cross to a neighbour whose normal is turned by more.
    """

    seed: Selection
    reach: float
    crease: float = 180.0

    def __post_init__(self) -> None:
        _check_length("reach", self.reach)
        check_range("crease", self.crease, 0.0, 180.0)

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        from scipy.sparse.csgraph import dijkstra

        found = {}
        for name, seed in chosen(self.seed, state, "seed").items():
            layer = state.layer(name)
            graph = neighbours(layer)
            if self.crease < 180:
                normals = quaternion.to_matrix(layer.field.canonical.rotations_wxyz)[:, :, 2].double().numpy()
                graph = _cut(graph, (normals[graph.row] * normals[graph.col]).sum(-1) >= self._cosine())
            ways = dijkstra(graph.tocsr(), False, np.flatnonzero(seed.numpy()), limit=self.reach, min_only=True)
            found[name] = torch.from_numpy(np.isfinite(ways))
        return found

    def _cosine(self) -> float:
        return math.cos(math.radians(self.crease))


@dataclass(frozen=True)
class ColorFlood(Selection, kind="flood"):
    """Surfels of the colour of a seed.

    Attributes:
        seed: where the colour is taken, as a click's ray; its mean colour counts.
        tolerance: greatest distance in colour (of red, green and blue in 0 to 1).
        connected: only what is connected with the seed by surfels of that colour.
    """

    seed: Selection
    tolerance: float = 0.1
    connected: bool = True

    def __post_init__(self) -> None:
        check_range("tolerance", self.tolerance, 0.0, 2.0)

    def masks(self, state: State) -> dict[str, Tensor]:
        """See `Selection.masks`."""
        seeds = chosen(self.seed, state, "seed")
        if not seeds:
            return {}
        wanted = torch.cat([colors_of(state.layer(name), mask) for name, mask in seeds.items()]).mean(0)
        found = {}
        for layer in state.selectable:
            seed = seeds.get(layer.name)
            if seed is None and self.connected:
                continue
            alike = (colors_of(layer) - wanted).norm(dim=-1) <= self.tolerance
            if self.connected and seed is not None:
                alike = _reached(layer, alike | seed, seed)
            found[layer.name] = alike
        return found


def neighbours(layer: Layer) -> Any:
    """The graph of neighbouring surfels of a layer, as a symmetric sparse matrix (COO) of distances."""
    from scipy.sparse import coo_matrix

    centers = layer.field.canonical.centers
    kept = _graphs.get(centers)
    if kept is not None:
        return kept
    tree, count = tree_of(centers), len(centers)
    number = min(_NEIGHBOURS + 1, count)
    lengths, others = tree.query(centers.detach().double().numpy(), k=list(range(1, number + 1)))
    rows = np.repeat(np.arange(count), number)
    lengths, others = lengths.ravel(), others.ravel()
    usual = np.median(lengths[lengths > 0]) if (lengths > 0).any() else 1.0
    touching = (others != rows) & (lengths <= _GAP * usual)
    # A way of length 0 would be no way at all to scipy.
    lengths = np.maximum(lengths[touching], 1e-12)
    graph = coo_matrix((lengths, (rows[touching], others[touching])), shape=(count, count)).tocsr()
    kept = _graphs[centers] = graph.maximum(graph.T).tocoo()
    return kept


def tree_of(centers: Tensor) -> Any:
    """A search tree over points [N, 3], kept as long as the tensor is."""
    from scipy.spatial import cKDTree

    kept = _trees.get(centers)
    if kept is None:
        kept = _trees[centers] = cKDTree(centers.detach().double().numpy())
    return kept


_graphs: MutableMapping[Tensor, Any] = WeakTensorKeyDictionary()
_trees: MutableMapping[Tensor, Any] = WeakTensorKeyDictionary()


def _centers(state: State, name: str) -> Tensor:
    return state.layer(name).field.canonical.centers


def _near(centers: Tensor, mask: Tensor, distance: float) -> Tensor:
    """The masked points and those within the distance of one."""
    from scipy.spatial import cKDTree

    points = centers.detach().double().numpy()
    inside = mask.numpy()
    ways, _ = cKDTree(points[inside]).query(points[~inside], distance_upper_bound=distance)
    grown = inside.copy()
    grown[~inside] = np.isfinite(ways)
    return torch.from_numpy(grown)


def _reached(layer: Layer, alike: Tensor, seed: Tensor) -> Tensor:
    """What is connected with the seed within `alike`."""
    from scipy.sparse.csgraph import connected_components

    graph = neighbours(layer)
    inside = alike.numpy()
    _, labels = connected_components(_cut(graph, inside[graph.row] & inside[graph.col]), directed=False)
    return torch.from_numpy(inside & np.isin(labels, labels[seed.numpy()]))


def _cut(graph: Any, kept: np.ndarray) -> Any:
    from scipy.sparse import coo_matrix

    return coo_matrix((graph.data[kept], (graph.row[kept], graph.col[kept])), shape=graph.shape)


def _check_length(what: str, length: float) -> None:
    if not 0 < length < math.inf:
        raise InputError(what, expected="a length > 0", got=repr(length), fix="make it larger")
