"""From layers to the scene file of the web player, and what that loses.

Bones, rigid paths and displacements go as they are.  What edits change over time, and any other motion, goes as modes
on top (`looks`).  Does NOT lay out bytes, or make pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import Surfels, quaternion
from recon4d.editors.edited_field import EditedField
from recon4d.export.splats.state import with_harmonics
from recon4d.export.web import quantize
from recon4d.export.web.looks import TOLERANCES, Look, find_looks
from recon4d.export.web.motion import Tracks, is_plain, sample_tracks, track_at, unit
from recon4d.export.web.scene_file import look_bytes, scene_bytes, surfel_bytes, track_bytes
from recon4d.field import Field, IdentityWarp
from recon4d.field.blending import blend_dual_quaternion, blend_linear
from recon4d.scene import Layer

_CHECKED_MOMENTS = 14  # seldom the samples themselves
_CHECKED_SURFELS = 20_000
_MOST_MOMENTS = 240  # of changes by edits
_MOST_STATES = 8_000_000  # moments times surfels of a layer: about 600 MB
_FINER = 4  # moments for each frame: keys of edits are where their author wants them, and may be hard


@dataclass
class Losses:
    """What packing lost, over all layers; lengths in scene units.

    Attributes:
        rms, largest: error of the surfels' centres over surfels and time.
        notes: sentences on what is only approximate.
    """

    rms: float = 0.0
    largest: float = 0.0
    notes: list[str] = field(default_factory=list)


def pack_scene(
    layers: Sequence[Layer], header: dict[str, Any], *, first: float, last: float, frames: int
) -> tuple[bytes, Losses]:
    """Pack layers and a header.

    Args:
        layers: with surfels.
        header: what the player needs besides: title, times, view, ...
        first, last: seconds between which the motion is kept; equal for one moment.
        frames: of the clip between them.

    Raises:
        InputError: a layer without colours.
    """
    losses, squares, count, packed = Losses(), 0.0, 0, []
    for layer in layers:
        entry, block, errors = _pack_layer(layer, first, last, frames, losses)
        packed.append((entry, block))
        squares, count = squares + float(np.square(errors).sum()), count + errors.size
        losses.largest = max(losses.largest, float(errors.max()))
    losses.rms = float(np.sqrt(squares / count))
    return scene_bytes(header, packed), losses


@torch.no_grad()
def _pack_layer(
    layer: Layer, first: float, last: float, frames: int, losses: Losses
) -> tuple[dict[str, Any], bytes, Float[np.ndarray, "t n"]]:
    """Header entry, bytes, and errors of the centres."""
    moving = layer.field.to("cpu", torch.float32)
    order = torch.from_numpy(quantize.along_a_curve(moving.canonical.centers.numpy()))
    moving = moving.select(order)
    canonical = with_harmonics(layer, moving.canonical)
    drawn = canonical if moving.refined is None else moving.refined.appearance_of(canonical)
    plain = type(moving) is Field and is_plain(moving.warp)
    base = moving.warp if is_plain(moving.warp) else IdentityWarp()
    tracks = sample_tracks(base, drawn.centers, first, last, frames, lambda times: _source_times(moving, times))
    if not plain:
        tracks = replace(tracks, residual=None)  # displacements are among the changes then
    about, surfel_block, centers = surfel_bytes(drawn)
    bound, track_block, tracks = track_bytes(tracks)
    changes = _Changes()
    if not plain:
        changes = _find_changes(layer, moving, drawn, tracks, (first, last, frames))
        losses.notes += changes.notes
    errors = _errors(
        moving, centers, tracks, changes, np.linspace(first, last, _CHECKED_MOMENTS if last > first else 1)
    )
    entry = {"name": layer.name, "kind": layer.kind, **about, **bound, "looks": changes.entries}
    return entry, b"".join([surfel_block, track_block, *changes.blocks]), errors


@dataclass
class _Changes:
    """What goes on top of the warp: looks as a reader gets them, from `first` in steps of `step`; and their file."""

    first: float = 0.0
    step: float = 0.0
    looks: list[Look] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    blocks: list[bytes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _find_changes(
    layer: Layer, moving: Field, drawn: Surfels, tracks: Tracks, span: tuple[float, float, int]
) -> _Changes:
    """The changes between first and last second of the span, which has so many frames."""
    first, last, frames = span
    most = min(_MOST_MOMENTS, max(frames // 2, _MOST_STATES // len(drawn)))
    moments = max(2, min(_FINER * (frames - 1) + 1, most)) if last > first else 1
    changes = _Changes(first, (last - first) / (moments - 1) if moments > 1 else 0.0)
    times = np.linspace(first, last, moments)

    def states(some: slice) -> Surfels:
        return with_harmonics(layer, moving.appearance_at_times(times[some].tolist()))

    for look in find_looks(states, drawn, *_warp_at(tracks, times), tracks.blend):
        entry, block, read = look_bytes(look, changes.first, changes.step)
        changes.looks.append(read)
        changes.entries.append(entry)
        changes.blocks.append(block)
        if look.error > 2 * TOLERANCES[look.kind]:
            changes.notes.append(
                f"{layer.name!r}: {look.kind} over time are approximate, off by up to {look.error:.2g}."
            )
    if _harmonics_change(states(slice(None, None, max(1, moments // 4))), drawn):
        note = "colours that depend on the view keep what they were before edits that change over time"
        changes.notes.append(f"{layer.name!r}: {note}.")
    return changes


def _harmonics_change(states: Surfels, canonical: Surfels) -> bool:
    """Whether coefficients of degree 1 and more differ from the canonical ones at some moment."""
    assert states.sh is not None
    assert canonical.sh is not None
    return bool(((states.sh - canonical.sh)[..., 1:, :].abs() > 1e-3).any())


def _source_times(moving: Field, times: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """The warp's time for each time, where edits have changed the clock."""
    moments = torch.from_numpy(np.asarray(times, np.float64))
    if isinstance(moving, EditedField):
        for edit in reversed(moving.steps):
            moments = edit.source_times(moments)
    return moments.double().numpy()


def _warp_at(tracks: Tracks, times: Float[np.ndarray, " t"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights, bones, rotations [T, B, 4] wxyz and shifts [T, B, 3] as the player has them, float64."""
    places = torch.from_numpy(track_at(tracks.places, tracks.first, tracks.step, times))
    turned = torch.from_numpy(unit(track_at(tracks.turns_xyzw, tracks.first, tracks.step, times)))[..., [3, 0, 1, 2]]
    pivots = torch.from_numpy(tracks.pivots)
    shifts = places - quaternion.rotate(turned, pivots[None].expand_as(places))
    return torch.from_numpy(tracks.weights), torch.from_numpy(tracks.indices), turned, shifts


def _errors(
    moving: Field,
    centers: Float[np.ndarray, "n 3"],
    tracks: Tracks,
    changes: _Changes,
    times: Float[np.ndarray, " t"],
) -> Float[np.ndarray, "t n"]:
    """Distances between the centres of the scene and those that the player draws, at some moments."""
    rows = torch.arange(0, len(centers), max(1, len(centers) // _CHECKED_SURFELS))
    true = moving.select(rows).at_times(times.tolist()).centers.double().numpy()
    drawn = centers[rows] + np.zeros((len(times), 1, 1))
    for look in changes.looks:
        if look.kind == "centers":
            gains = track_at(look.courses.T, changes.first, changes.step, times)
            drawn = drawn + np.einsum("tm,mnc->tnc", gains, look.values[:, rows])
    places = torch.from_numpy(drawn)
    if tracks.residual is not None:
        places = places + tracks.residual.to(torch.float64).residual_at(places, torch.from_numpy(times))
    weights, indices, rotations, shifts = _warp_at(tracks, times)
    blend = blend_linear if tracks.blend == "linear" else blend_dual_quaternion
    moved, _ = blend(places, weights[rows], indices[rows], rotations, shifts)
    return np.linalg.norm(true - moved.numpy(), axis=-1)
