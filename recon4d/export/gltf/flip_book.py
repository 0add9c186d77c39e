"""Flip-books as they are played: the shapes that are kept of a layer's, and how far what is shown is from the surfels.

Does NOT write them.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from recon4d.export.gltf.animation import blended, key_shapes
from recon4d.export.mesh.layers import LayerMesh, LayerMeshes
from recon4d.export.mesh.motion import motion_error

_TOLERANCE = 1e-3  # of the size: what a flip-book may miss between its shapes


def with_flip_books(made: LayerMeshes) -> LayerMeshes:
    """The meshes, those with shapes at every moment as they are played with fewer."""
    return replace(made, layers=tuple(_thinned(layer, made.times) for layer in made.layers))


def _thinned(layer: LayerMesh, times: tuple[float, ...]) -> LayerMesh:
    if layer.motion != "shapes" or layer.keys:
        return layer
    keys = key_shapes(layer.positions, times, _TOLERANCE * layer.size)
    shown = blended(layer.positions, times, keys, times)
    # Between the moments too, where motion bends and blending does not.
    between = [(a + b) / 2 for a, b in pairwise(times)]
    truth = np.concatenate([layer.positions, layer.truth(between)])
    error = motion_error(np.concatenate([shown, blended(layer.positions, times, keys, between)]), truth)
    return replace(layer, keys=tuple(keys), positions=shown, error=error)
