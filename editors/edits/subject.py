"""Edits of whole subjects: another in its place, removed with what it hid filled in, moved like another."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from recon4d.core import InputError
from recon4d.editors import shapes
from recon4d.editors.edited_field import EditedField, Step, plain_of, stepped
from recon4d.editors.edits.asset_file import AssetFile
from recon4d.editors.edits.base import Edit, free_layer
from recon4d.editors.edits.insert import like_scene, played
from recon4d.editors.edits.remove import without
from recon4d.editors.keys import Vector, check_finite, check_range
from recon4d.editors.merging import merge_fields
from recon4d.editors.riding import other_bones
from recon4d.editors.selections.base import Selection, resolve
from recon4d.editors.selections.spatial import check_direction
from recon4d.editors.shape_step import ShapeStep
from recon4d.editors.shapes.replacing import SMOOTHING
from recon4d.editors.state import State, new_ids
from recon4d.editors.steps import RowsStep
from recon4d.field import Field
from recon4d.scene import Layer

_Z: Vector = (0.0, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class ReplaceSubject(Edit, kind="replace"):
    """Put another thing in a subject's place, moved by the subject's bones: a dog that walks as the cat did.

    Edits over time that are of all of the subject go on; those of a part of it would be lost, and are refused.

    Attributes:
        layer: the subject.
        asset: what takes its place; its own motion is left out.
        yaw: degrees by which it is turned about `up`; found by its shape when left out.
        up: which way is up in the subject's canonical space.
        stretch: make it as long, wide and high as the subject, instead of one scale for all.
        smoothing: of the weights along its surface, as a share of the subject's size.
    """

    layer: str
    asset: AssetFile
    yaw: float | None = None
    up: Vector = _Z
    stretch: bool = False
    smoothing: float | None = None

    def check(self) -> None:
        """See `Edit.check`."""
        check_direction("up", self.up)
        if self.yaw is not None:
            check_finite("yaw", self.yaw)
        if self.smoothing is not None:
            check_range("smoothing", self.smoothing, 0.0, 1.0)

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        subject = free_layer(state, self.layer, "layer")
        whole = _steps_of_all(subject.field)
        asset = self.asset.read(state)
        field = shapes.replace_subject(
            plain_of(subject.field),
            like_scene(asset.field, state),
            yaw_degrees=self.yaw,
            up=self.up,
            stretch=self.stretch,
            smoothing=SMOOTHING if self.smoothing is None else self.smoothing,
        )
        ids = new_ids(self.id, len(field), torch.empty(0, dtype=torch.int64))
        field = replace(field, ids=ids)
        rows = torch.arange(len(field))
        steps = [replace(step, rows=rows) if isinstance(step, RowsStep) else step for step in whole]
        return state.with_field(subject.name, stepped(field, *steps) if steps else field)


@dataclass(frozen=True, kw_only=True)
class RemoveObject(Edit, kind="remove"):
    """Take something away and fill what it hid of the background: from what other frames saw, the rest is invented.

    Attributes:
        select: what goes.
        background: the layer that is filled; the first of kind background when left out.
        views: frames that are looked at, spread over the clip.
        margin: pixels by which the silhouettes are widened.
    """

    select: Selection
    background: str = ""
    views: int = 16
    margin: int = 3

    def check(self) -> None:
        """See `Edit.check`."""
        check_range("views", self.views, 1, 1000)
        check_range("margin", self.margin, 0, 100)

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        masks = resolve(self.select, state)
        removed = [state.layer(name).field.select(mask) for name, mask in masks.items()]
        left = without(state, masks)
        background = self._background(left)
        patch = shapes.heal_patch(
            plain_of(background.field),
            removed,
            state.scene.cameras,
            state.scene.frame_times,
            views=self.views,
            margin=self.margin,
        )
        if not len(patch):
            return left
        patch = replace(patch, ids=new_ids(self.id, len(patch), background.field.ids))
        return left.with_field(background.name, merge_fields([background.field, patch]))

    def _background(self, state: State) -> Layer:
        if self.background:
            return state.layer(self.background, "background")
        for layer in state.layers:
            if layer.kind == "background":
                return layer
        names = ", ".join(repr(layer.name) for layer in state.layers) or "no layers"
        raise InputError(
            "background", expected=f"one of {names}", got="no layer of kind background", fix="name the layer to fill"
        )


@dataclass(frozen=True, kw_only=True)
class Retarget(Edit, kind="retarget"):
    """Let a layer move as another does, in its own size and place.

    Attributes:
        layer: what is to move so; its own motion is left out.
        source: the layer with the motion; or give `asset`.
        asset: a file with the motion, as another scene.
        yaw: degrees by which the layer is turned about `up` to lie over the source; found when left out.
        up: which way is up in the layer's canonical space.
        anchor: a second at which it stands where it was; it stays at its canonical place when left out.
    """

    layer: str
    source: str = ""
    asset: AssetFile | None = None
    yaw: float | None = None
    up: Vector = _Z
    anchor: float | None = None

    def check(self) -> None:
        """See `Edit.check`."""
        if bool(self.source) == (self.asset is not None):
            got = "both" if self.source else "neither"
            raise InputError("source", expected="a layer or an asset", got=got, fix="give one of them")
        if self.source == self.layer:
            raise InputError("source", expected="another layer", got=repr(self.source), fix="name the one that moves")
        check_direction("up", self.up)
        for name in ("yaw", "anchor"):
            if getattr(self, name) is not None:
                check_finite(name, getattr(self, name))

    def apply(self, state: State) -> State:
        """See `Edit.apply`."""
        target = free_layer(state, self.layer, "layer")
        if isinstance(target.field, EditedField):
            got, fix = "a layer with edits over time", "retarget it before those"
            raise InputError("layer", expected="a layer without edits over time", got=got, fix=fix)
        if self.anchor is not None:
            state.check_times("anchor", [self.anchor])
        field = shapes.retarget(self._source(state), target.field, yaw_degrees=self.yaw, up=self.up, anchor=self.anchor)
        return other_bones(state.with_field(target.name, field), target.name)

    def _source(self, state: State) -> Field:
        if self.asset is None:
            return plain_of(state.layer(self.source, "source").field)
        return like_scene(played(self.asset.read(state), state, state.first, 1.0, repeat=True), state)


def _steps_of_all(field: Field) -> tuple[Step, ...]:
    """The steps of a field, all of which are of all its surfels; InputError where one is of a part."""
    steps = field.steps if isinstance(field, EditedField) else ()
    for step in steps:
        partial = isinstance(step, RowsStep) and (len(step.rows) < len(field) or step.shares is not None)
        if partial or isinstance(step, ShapeStep):
            got = "one with edits over time of a part of it, or of its shape"
            fix = "replace it before those, or disable them"
            raise InputError("layer", expected="a layer without edits over time of its parts", got=got, fix=fix)
    return steps
