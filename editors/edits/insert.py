"""Edits that bring things in, and fix them to others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recon4d.core import InputError, Similarity
from recon4d.editors import shapes
from recon4d.editors.edited_field import EditedField, plain_of
from recon4d.editors.edits.asset_file import AssetFile
from recon4d.editors.edits.base import Edit, free_layer
from recon4d.editors.keys import LARGEST, Vector, check_finite, check_range, check_vector
from recon4d.editors.ride_step import Rigid, combined, inverted, ride_of, similarity_from
from recon4d.editors.riding import check_no_circle, origins_of, put_on, ride_on
from recon4d.editors.selections.base import shown_at
from recon4d.editors.selections.spatial import turn
from recon4d.editors.shapes import Asset
from recon4d.editors.state import State, new_ids
from recon4d.field import BonesWarp, Field, IdentityWarp, RigidWarp
from recon4d.scene import Layer


@dataclass(frozen=True, kw_only=True)
class Insert(Edit, kind="insert"):
    """Bring a thing in as a new layer; it plays its own motion, if it has one.

    Attributes:
        asset: the file.
        layer: name of the new layer.
        translate: where its origin goes, scene units.
        rotate: an axis times degrees; things come with z up, looking along x.
        scale: factor on its size, > 0.
        size: its longest side in scene units, in place of that in the file; `scale` comes on top.
        start: second of the scene at which its motion begins; the first when left out.
        speed: of its motion, > 0.
        repeat: whether its motion begins anew when it ends.
    """

    asset: AssetFile
    layer: str
    translate: Vector = (0.0, 0.0, 0.0)
    rotate: Vector = (0.0, 0.0, 0.0)
    scale: float = 1.0
    size: float | None = None
    start: float | None = None
    speed: float = 1.0
    repeat: bool = True

    def check(self) -> None:
        """See `Edit.check`."""
        check_vector("translate", self.translate)
        check_vector("rotate", self.rotate)
        check_range("scale", self.scale, 1 / LARGEST, LARGEST)
        check_range("speed", self.speed, 1e-3, 1e3)
        if self.size is not None:
            check_range("size", self.size, 1 / LARGEST, LARGEST)
        if self.start is not None:
            check_finite("start", self.start)

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        state.check_new_name(self.layer, "layer")
        asset = self.asset.read(state)
        start = state.first if self.start is None else self.start
        field = like_scene(played(asset, state, start, self.speed, repeat=self.repeat), state)
        factor = self.scale
        if self.size is not None:
            centers = asset.field.canonical.centers
            factor *= self.size / max(float((centers.amax(0) - centers.amin(0)).max()), 1e-12)
        field = shapes.place(field, similarity_of(self.translate, self.rotate, factor))
        ids = new_ids(self.id, len(field), torch.empty(0, dtype=torch.int64))
        return state.with_layer(Layer(self.layer, "object", replace(field, ids=ids)))


@dataclass(frozen=True, kw_only=True)
class Attach(Edit, kind="attach"):
    """Fix a layer to a bone of another, where it stands at a moment: a hat to a head.

    From there on it rides: whatever edits before or after this one do to the carrier's motion, shape, place or time, it
    keeps its pose on the surface that it was put on.  Its own edits come on top.

    Attributes:
        layer: what is fixed.
        to: the layer that carries it.
        bone: number of the bone; the one that the nearest surfels of `to` follow most when left out.
        time: the moment, seconds; the scene's first when left out.
    """

    layer: str
    to: str
    bone: int | None = None
    time: float | None = None

    def check(self) -> None:
        """See `Edit.check`."""
        if self.layer == self.to:
            raise InputError("to", expected="another layer", got=repr(self.to), fix="name the layer that carries it")

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        layer, carrier = free_layer(state, self.layer, "layer"), state.layer(self.to, "to")
        field, ride = plain_of(layer.field), ride_of(layer.field)
        if isinstance(layer.field, EditedField) and layer.field.steps != ((ride,) if ride else ()):
            got = "a layer with edits over time"
            raise InputError("layer", expected="a layer without edits over time", got=got, fix="attach it before those")
        check_no_circle(state, self.layer, self.to, "to")
        time = state.first if self.time is None else self.time
        state.check_times("time", [time])
        middle = shown_at(layer, time).centers.mean(0)
        step = ride_on(carrier, self._bone(carrier, middle, time, state), middle, time)
        moment = torch.tensor([time], dtype=torch.float64)
        # The thing's own space is the world that it stands in; that world is taken along by the bone.
        pose = inverted(first_of(step.carries(moment)))
        if ride is not None:
            pose = combined(pose, first_of(ride.carries(moment)))
        held = shapes.place(_frozen(field, time), similarity_from(pose))
        return state.with_field(layer.name, put_on(held, step))

    def _bone(self, carrier: Layer, point: Tensor, time: float, state: State) -> int | None:
        """The bone that carries; None where the layer has no bones."""
        warp = carrier.field.warp.underlying
        if not isinstance(warp, BonesWarp):
            if self.bone is not None:
                expected, got = "no bone: the layer has none", str(self.bone)
                raise InputError("bone", expected=expected, got=got, fix="leave it out")
            return None
        count = len(warp.rest_translations)
        if self.bone is None:
            return int(shapes.bone_near(carrier.field, point, time))
        if not 0 <= self.bone < count:
            raise InputError("bone", expected=f"0 to {count - 1}", got=str(self.bone), fix="choose another")
        # Edits may have given what followed the bone a copy of it.
        alike = torch.nonzero(origins_of(state, carrier.name, count) == self.bone)[:, 0]
        return int(shapes.bone_near(carrier.field, point, time, among=alike)) if len(alike) > 1 else self.bone


def similarity_of(translate: Vector, rotate: Vector, scale: float) -> Similarity:
    """The similarity of an edit's numbers, float64."""
    numbers = torch.tensor(scale, dtype=torch.float64), torch.tensor(translate, dtype=torch.float64)
    return Similarity(numbers[0], turn(rotate), numbers[1])


def played(asset: Asset, state: State, start: float, speed: float, *, repeat: bool) -> Field:
    """The field of an asset whose own motion begins at a second of the scene."""
    field = asset.field
    if asset.duration > 0 and not isinstance(field.warp, IdentityWarp):
        # Repeated in its own time, for as long as the scene lasts.
        need = (state.last - start) * speed
        if repeat and need > asset.duration:
            field = shapes.repeat(field, duration=asset.duration, until=need)
        field = shapes.retime(field, start=start, speed=speed)
    return field


def like_scene(field: Field, state: State) -> Field:
    """In the floating type of the scene's surfels."""
    dtypes = {layer.field.canonical.centers.dtype for layer in state.layers}
    return field.to(dtypes.pop()) if len(dtypes) == 1 else field


def first_of(motion: Rigid) -> Rigid:
    """The first of several moments."""
    return motion[0][0], motion[1][0]


def _frozen(field: Field, time: float) -> Field:
    """A rigid thing as it stands at a moment; what has bones goes on moving by itself."""
    if not isinstance(field.warp, RigidWarp):
        return field
    rotations, places = field.warp.path.at(torch.tensor([time], dtype=torch.float64))
    still = replace(field, warp=IdentityWarp())
    one = torch.ones((), dtype=torch.float64)
    return shapes.place(still, Similarity(one, rotations[0].double(), places[0].double()))
