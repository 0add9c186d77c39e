"""The scene as the web player reads it: one gzipped block of a JSON header and packed arrays.

Layout: the letters R4DW, the length of the header (4 bytes, little-endian), the header, then for every layer its arrays
without gaps: those of `surfel_bytes`, `track_bytes` and `look_bytes`.  docs/web-player.md has the layout in full.
Does NOT make pages, or decide how a field moves.
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from recon4d.core import Surfels, quaternion
from recon4d.core.spherical_harmonics import degree_of
from recon4d.export.web import quantize
from recon4d.export.web.looks import Look
from recon4d.export.web.motion import Tracks, unit
from recon4d.field import ResidualWarp

VERSION = 1
MAGIC = b"R4DW"
WHITE = 0.28209479177387814  # the constant of degree 0: colour is 0.5 + this times the first coefficient

Entry = dict[str, Any]


def scene_bytes(header: Entry, layers: Sequence[tuple[Entry, bytes]]) -> bytes:
    """The whole file, compressed; the same scene gives the same bytes.

    Args:
        header: what the player needs besides layers: title, times, view, ...
        layers: header entry and arrays of each.
    """
    document = {"format": "recon4d-web", "version": VERSION, **header, "layers": [entry for entry, _ in layers]}
    head = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    raw = MAGIC + struct.pack("<I", len(head)) + head + b"".join(block for _, block in layers)
    return gzip.compress(raw, 9, mtime=0)


def surfel_bytes(surfels: Surfels) -> tuple[Entry, bytes, Float[np.ndarray, "n 3"]]:
    """Centres, turns, sizes, opacities and colours of canonical surfels with sh; and the centres that a reader gets."""
    sh = surfels.sh
    assert sh is not None
    places = surfels.centers.double().numpy()
    low, high = places.min(0), places.max(0)
    centers, read = quantize.in_range(places, low, high, 16)
    upright = quaternion.normalize(surfels.rotations_wxyz.double())[:, [1, 2, 3, 0]].numpy()
    logs = np.log(np.maximum(surfels.scales.double().numpy(), 1e-9))
    colors = 0.5 + WHITE * sh[:, 0].double().numpy()
    degree = degree_of(sh.shape[1])
    bands = [sh[:, b * b : (b + 1) ** 2].flatten(1).double().numpy() for b in range(1, degree + 1)]
    limits = [float(np.abs(band).max()) for band in bands]
    entry = {
        "count": len(surfels),
        "low": low.tolist(),
        "high": high.tolist(),
        "logScales": [float(logs.min()), float(logs.max())],
        "colors": [float(colors.min()), float(colors.max())],
        "degree": degree,
        "bands": limits,
    }
    parts = [
        centers,
        quantize.turns(upright)[0],
        quantize.in_range(logs, logs.min(), logs.max(), 8)[0],
        quantize.in_range(surfels.opacities.double().numpy()[:, None], 0.0, 1.0, 8)[0],
        quantize.in_range(colors, colors.min(), colors.max(), 16)[0],
        *(quantize.signed(band, limit, 8)[0] for band, limit in zip(bands, limits, strict=True)),
    ]
    return entry, b"".join(parts), read


def track_bytes(tracks: Tracks) -> tuple[Entry, bytes, Tracks]:
    """Binding, pivots, tracks and displacements; and the tracks that a reader gets."""
    samples, bones = tracks.places.shape[:2]
    low, high = tracks.places.min((0, 1)), tracks.places.max((0, 1))
    parts, weights = [], tracks.weights
    if bones > 1:
        parts.append(quantize.planes(tracks.indices.T.astype(np.uint8 if bones <= 256 else np.uint16)))
        rest, read = quantize.in_range(tracks.weights[:, 1:], 0.0, 1.0, 16)
        parts.append(rest)
        weights = np.concatenate([1 - read.sum(1, keepdims=True), read], 1)
    parts.append(tracks.pivots.astype("<f4").tobytes())
    flat = tracks.places.reshape(samples, -1)
    places, read_places = quantize.in_range(flat, np.tile(low, bones), np.tile(high, bones), 16)
    turns, read_turns = quantize.signed(tracks.turns_xyzw.reshape(samples, -1), 1.0, 16)
    parts += [places, turns]
    residual, described = tracks.residual, None
    if residual is not None:
        described, block, residual = _residual_bytes(residual)
        parts.append(block)
    entry = {
        "blend": tracks.blend,
        "bones": bones,
        "samples": samples,
        "first": tracks.first,
        "step": tracks.step,
        "trackLow": low.tolist(),
        "trackHigh": high.tolist(),
        "residual": described,
    }
    back = Tracks(
        tracks.first,
        tracks.step,
        tracks.pivots.astype(np.float32).astype(np.float64),
        read_places.reshape(tracks.places.shape),
        unit(read_turns.reshape(tracks.turns_xyzw.shape)),
        tracks.indices,
        weights,
        tracks.blend,
        residual,
    )
    return entry, b"".join(parts), back


def look_bytes(look: Look, first: float, step: float) -> tuple[Entry, bytes, Look]:
    """One kind of change over even moments; and the look that a reader gets."""
    modes, count, columns = look.values.shape
    limits = np.maximum(np.abs(look.values).max((1, 2)), 1e-12)
    flat = (look.values / limits[:, None, None]).transpose(1, 0, 2).reshape(count, -1)
    block, read = quantize.signed(flat, 1.0, 16)
    entry = {
        "kind": look.kind,
        "columns": modes * columns,
        "limits": limits.tolist(),
        "courses": look.courses.astype(np.float32).tolist(),
        "samples": look.courses.shape[1],
        "first": first,
        "step": step,
    }
    values = read.reshape(count, modes, columns).transpose(1, 0, 2) * limits[:, None, None]
    return entry, block, Look(look.kind, look.courses, values, look.error)


def _residual_bytes(residual: ResidualWarp) -> tuple[Entry, bytes, ResidualWarp]:
    """The grid of displacements; control after control, x slowest."""
    grid = residual.grid.double().numpy()
    limit = float(np.abs(grid).max())
    block, read = quantize.signed(grid.reshape(-1, 3), limit, 16)
    entry = {
        "size": list(grid.shape[:4]),
        "low": residual.low.double().tolist(),
        "high": residual.high.double().tolist(),
        "start": residual.start,
        "step": residual.step,
        "limit": limit,
    }
    back = torch.from_numpy(read.reshape(grid.shape)).to(residual.grid)
    return entry, block, ResidualWarp(residual.base, back, residual.low, residual.high, residual.start, residual.step)
