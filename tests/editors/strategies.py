"""Random edits and selections, for the laws."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch
import trimesh
from hypothesis import strategies as st

from recon4d.editors import (
    All,
    AlongSurface,
    AssetFile,
    Attach,
    BonePose,
    Box,
    Brush,
    ByBones,
    ColorFlood,
    Deform,
    Delete,
    Duplicate,
    Edit,
    FrameMask,
    Freeze,
    Grade,
    Grow,
    HandlePose,
    Hide,
    Ids,
    InLayers,
    Insert,
    Intersect,
    Invert,
    Key,
    Lasso,
    Lock,
    Loop,
    MergeLayers,
    NamePart,
    Opacity,
    Paint,
    Part,
    Plane,
    Polygon,
    PoseBones,
    PoseKey,
    Ray,
    Recolor,
    Rectangle,
    RemoveObject,
    RenameLayer,
    ReplaceSubject,
    Retarget,
    Retime,
    Reverse,
    ScalePart,
    Selection,
    Separate,
    Shrink,
    Span,
    Speed,
    Sphere,
    Stroke,
    Subtract,
    Transform,
    Trim,
    Union,
    ValueRange,
    View,
)
from recon4d.editors.edits.mesh import MeshEdit
from recon4d.editors.mesh_edit import MeshChange
from recon4d.scene import Layer, Scene, save
from recon4d.scene.arrays import to_blob
from tests.editors.scenes import CAMERAS, TIMES, animal


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    # Few distinct values, so that failures are small and 1 and 1.0 both come up.
    return st.integers(0, 8).map(lambda i: low + (high - low) * i / 8)


def vectors(size: float) -> st.SearchStrategy[tuple[float, float, float]]:
    return st.tuples(*[numbers(-size, size)] * 3)


colors = st.tuples(*[numbers(0, 1)] * 3)
spans = st.one_of(st.none(), st.sampled_from([Span(0.25, 0.75), Span(0.1, 0.9, 0.2)]))
amount_keys = st.sampled_from([(), (Key(0.2, 0.0), Key(0.7, 1.0)), (Key(0.0, 1.0), Key(0.5, 0.25, "out"))])

LOOK = View.of(CAMERAS[0], 0.5)
CLICK = Ray((2.6, -2.6, 1.4), (-2.6, 2.6, -0.95), 0.5, radius=0.2)
corners = numbers(20.0, 40.0).map(lambda at: (at, at - 5.0))
outlines = numbers(30.0, 70.0).map(lambda x: ((x - 25, 25.0), (x + 20, 25.0), (x + 15, 60.0), (x - 20, 55.0)))

# Selections by kind: those made of others come below.
plain_selections: dict[str, st.SearchStrategy[Selection]] = {
    "all": st.just(All()),
    "layer": st.sampled_from([InLayers(("animal",)), InLayers(("ball",)), InLayers(("ball", "floor"))]),
    "ids": st.one_of(
        st.integers(0, 100).map(lambda first: Ids("animal", (first, first + 40))),
        st.integers(0, 150).map(lambda first: Ids("ball", (first, first + 9, first + 20, first + 60))),
    ),
    "part": st.just(Part("head")),
    "bones": st.sampled_from([(4, 8, 16), (1, 2), (5, 6, 7)]).map(lambda bones: ByBones("animal", bones, 0.4)),
    "sphere": numbers(0.3, 0.8).map(lambda size: Sphere((0.4, 0.0, 0.6), size)),
    "box": numbers(0.3, 1.0).map(lambda size: Box((0.0, 0.0, 0.4), (size, size, size), (0.0, 0.0, 30.0), time=0.5)),
    "plane": numbers(-0.2, 0.6).map(lambda height: Plane((0.0, 0.0, height), (0.0, 0.0, 1.0), time=0.25)),
    "values": numbers(0.1, 0.9).map(lambda red: ValueRange("red", high=red)),
    "ray": st.sampled_from([CLICK, Ray((0.0, 0.0, 5.0), (0.0, 0.0, -1.0), 0.25, extent="layer")]),
    "flood": st.builds(ColorFlood, seed=st.just(Part("head")), tolerance=numbers(0.05, 0.4), connected=st.booleans()),
    "surface": numbers(0.1, 0.5).map(lambda reach: AlongSurface(Ids("animal", (7, 7)), reach, 60.0)),
    "rectangle": corners.map(lambda low: Rectangle(LOOK, low=low, high=(70.0, 60.0))),
    "polygon": outlines.map(lambda points: Polygon(LOOK, points=points)),
    "lasso": outlines.map(lambda points: Lasso(LOOK, True, points=points)),
    "brush": corners.map(lambda at: Brush(LOOK, points=(at, (60.0, 45.0)), radius=8.0)),
    "mask": numbers(1000, 3000).map(lambda skip: FrameMask(LOOK, runs=(int(skip), 2000, 96 * 72 - 2000 - int(skip)))),
}
simple: st.SearchStrategy[Selection] = st.one_of(*plain_selections.values())
made_selections: dict[str, st.SearchStrategy[Selection]] = {
    "invert": simple.map(Invert),
    "grow": simple.map(lambda one: Grow(one, 0.1)),
    "shrink": simple.map(lambda one: Shrink(one, 0.02)),
    "union": st.tuples(simple, simple).map(Union),
    "intersect": st.tuples(simple, simple).map(Intersect),
    "subtract": st.builds(lambda one, other: Subtract(one, (other,)), simple, simple),
}
selections_by_kind = {**plain_selections, **made_selections}
selections = st.one_of(simple, simple, *made_selections.values())

pose_keys = st.sampled_from(
    [(), (PoseKey(0.2), PoseKey(0.6, (0.1, 0.0, 0.2), (0.0, 0.0, 40.0), 1.4), PoseKey(1.0, ease="linear"))]
)
moves = st.builds(
    Transform,
    select=selections,
    translate=vectors(0.5),
    rotate=vectors(90.0),
    scale=st.one_of(st.sampled_from([1, 1.0, 0.5, 2]), st.just((1.0, 1.5, 0.75))),
    frame=st.sampled_from(["layer", "world"]),
    keys=pose_keys,
    during=spans,
    soft=st.sampled_from([0.0, 0.05]),
)
recolorings = st.builds(
    Recolor,
    select=selections,
    color=colors,
    mode=st.sampled_from(["tint", "flat", "multiply"]),
    amount=numbers(0, 1),
    keys=amount_keys,
    during=spans,
)
gradings = st.builds(
    Grade, select=selections, exposure=numbers(-1, 1), saturation=numbers(0, 2), hue=numbers(-180, 180)
)
opacities = st.builds(Opacity, select=selections, factor=numbers(0, 1), keys=amount_keys, during=spans)
deletions = st.builds(Delete, select=selections)
surfel_edits: st.SearchStrategy[Edit] = st.one_of(moves, recolorings, gradings, opacities, deletions)


@cache
def folder() -> Path:
    """A folder with the files that edits name."""
    path = Path(tempfile.mkdtemp(prefix="recon4d-laws-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    save(Scene(TIMES, CAMERAS, [Layer("other", "object", animal(80))]), path / "other.r4d")
    ball_mesh = trimesh.creation.icosphere(1, 0.25)
    before = torch.from_numpy(ball_mesh.vertices.copy())
    change = MeshChange(
        before=before,
        after=torch.where(before[:, 2:] > 0, 1.3 * before, before),
        faces=torch.from_numpy(ball_mesh.faces.astype("int64")),
        vertex_paint=torch.zeros(len(before), 3, dtype=torch.float64),
        paint_places=torch.zeros(0, 3, dtype=torch.float64),
        paint=torch.zeros(0, 3, dtype=torch.float64),
        paint_reach=torch.zeros(1, dtype=torch.float64),
    )
    (path / "ball.safetensors").write_bytes(b"".join(to_blob(change.tensors()).pieces))
    return path


other = AssetFile("other.r4d")
handles = st.builds(
    lambda up, turn: (
        HandlePose((0.65, 0.0, 1.0), 0.3, (0.0, 0.0, up), (0.0, turn, 0.0)),
        HandlePose((-0.5, 0.0, 0.6), 0.3),
    ),
    numbers(-0.1, 0.2),
    numbers(-30, 30),
)
some_layers = st.sampled_from([(), ("animal",), ("ball",), ("ball", "animal")])
by_kind: dict[str, st.SearchStrategy[Edit]] = {
    "transform": moves,
    "recolor": recolorings,
    "grade": gradings,
    "opacity": opacities,
    "delete": deletions,
    "paint": st.builds(
        lambda points, color, layers: Paint(view=LOOK, strokes=(Stroke(points, 12.0, color),), layers=layers),
        outlines,
        colors,
        st.sampled_from([(), ("floor",)]),
    ),
    "scale_part": st.builds(
        ScalePart,
        select=selections,
        factor=st.sampled_from([0.5, 1.6, (1.0, 1.5, 0.75)]),
        keys=amount_keys,
        during=spans,
    ),
    "deform": st.builds(
        Deform,
        select=st.sampled_from([InLayers(("animal",)), ByBones("animal", (2, 3, 4, 5, 6, 8, 16), 0.4)]),
        handles=handles,
        keys=amount_keys,
    ),
    "pose": st.builds(
        lambda turn, during: PoseBones(
            layer="animal", bones=(BonePose(4, rotate=(0.0, 0.0, turn), followers=(8,)),), during=during
        ),
        numbers(-40, 40),
        spans,
    ),
    "mesh_edit": st.just(MeshEdit(layer="ball", path="ball.safetensors")),
    "duplicate": st.builds(Duplicate, select=selections, layer=st.sampled_from(["", "copy"])),
    "separate": st.builds(Separate, select=selections, layer=st.just("apart")),
    "merge": st.sampled_from([("ball", "floor"), ("animal", "ball")]).map(lambda names: MergeLayers(layers=names)),
    "name_part": st.builds(NamePart, part=st.just("part"), select=selections),
    "rename_layer": st.sampled_from([RenameLayer(layer="ball", to="sphere"), RenameLayer(layer="floor", to="ground")]),
    "lock": st.just(Lock(layers=("ball",))),
    "hide": st.just(Hide(layers=("floor",))),
    "insert": st.builds(
        Insert, asset=st.just(other), layer=st.just("new"), translate=vectors(1.0), rotate=vectors(90.0),
        scale=numbers(0.5, 1.5), speed=st.sampled_from([1, 2.0]),
    ),
    "attach": st.sampled_from(
        [
            Attach(layer="ball", to="animal", bone=4),
            Attach(layer="ball", to="animal", time=0.5),
            Attach(layer="floor", to="ball"),
        ]
    ),
    "replace": st.builds(ReplaceSubject, layer=st.just("animal"), asset=st.just(other), yaw=numbers(0, 180)),
    "remove": st.just(RemoveObject(select=InLayers(("ball",)), views=2)),
    "retarget": st.sampled_from(
        [Retarget(layer="ball", source="animal", yaw=0.0), Retarget(layer="animal", asset=other, yaw=0.0, anchor=0.5)]
    ),
    "trim": st.builds(lambda layers: Trim(start=0.0, end=0.5, layers=layers), some_layers),
    "retime": st.builds(lambda layers: Retime(keys=(Key(0.0, 1.0), Key(1.0, 0.25)), layers=layers), some_layers),
    "speed": st.builds(Speed, factor=st.sampled_from([0.5, 2.0]), layers=some_layers),
    "reverse": st.builds(Reverse, layers=some_layers),
    "loop": st.builds(Loop, start=st.just(0.25), end=st.just(0.5), mirror=st.booleans(), layers=some_layers),
    "freeze": st.builds(Freeze, time=st.just(0.5), start=st.sampled_from([None, 0.5]), layers=some_layers),
}  # fmt: skip
edits: st.SearchStrategy[Edit] = st.one_of(*by_kind.values())
