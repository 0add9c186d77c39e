"""Edits that bring things in, and fix them to others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from recon4d.core import InputError, Similarity
from recon4d.editors import shapes
from recon4d.editors.edited_field import plain_of
from recon4d.editors.edits.asset_file import AssetFile
from recon4d.editors.edits.base import Edit
from recon4d.editors.keys import Vector, check_finite, check_range, check_vector
from recon4d.editors.selections.spatial import turn
from recon4d.editors.shapes import Asset
from recon4d.editors.state import State, new_ids
from recon4d.field import Field, IdentityWarp, RigidWarp
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
        check_range("scale", self.scale, 1e-9, 1e9)
        check_range("speed", self.speed, 1e-3, 1e3)
        if self.size is not None:
            check_range("size", self.size, 1e-9, 1e9)
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
        layer, carrier = state.layer(self.layer), plain_of(state.layer(self.to, "to").field)
        if layer.name in state.locked:
            raise InputError("layer", expected="a layer that is not locked", got=repr(layer.name), fix="unlock it")
        field = plain_of(layer.field)
        if field is not layer.field:
            got = "a layer with edits over time"
            raise InputError("layer", expected="a layer without edits over time", got=got, fix="attach it before those")
        time = state.first if self.time is None else self.time
        state.check_times("time", [time])
        bone: int | str | None = self.bone
        if bone is None:
            bone = shapes.bone_near(carrier, layer.field.at(time).centers.mean(0), time)
        elif isinstance(carrier.warp.underlying, RigidWarp):
            raise InputError("bone", expected="no bone: the layer moves rigidly", got=str(bone), fix="leave it out")
        # The thing's own space is the world that it stands in; that world is taken along by the bone.
        standing = similarity_of((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0)
        pose = shapes.pose_on_bone(carrier, bone, time, standing)
        held = _frozen(field, time)
        return state.with_field(layer.name, shapes.attach_to_bone(held, carrier, bone, pose))


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


def _frozen(field: Field, time: float) -> Field:
    """A rigid thing as it stands at a moment; what has bones goes on moving by itself."""
    if not isinstance(field.warp, RigidWarp):
        return field
    rotations, places = field.warp.path.at(torch.tensor([time], dtype=torch.float64))
    still = replace(field, warp=IdentityWarp())
    one = torch.ones((), dtype=torch.float64)
    return shapes.place(still, Similarity(one, rotations[0].double(), places[0].double()))
