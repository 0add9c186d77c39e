"""Random edits and selections, for the laws."""

from __future__ import annotations

from hypothesis import strategies as st

from recon4d.editors import (
    All,
    BonePose,
    Box,
    ByBones,
    Delete,
    Duplicate,
    Edit,
    Freeze,
    Grade,
    Grow,
    Hide,
    Ids,
    InLayers,
    Intersect,
    Invert,
    Key,
    Lock,
    Loop,
    MergeLayers,
    NamePart,
    Opacity,
    Plane,
    PoseBones,
    PoseKey,
    Recolor,
    Reverse,
    Selection,
    Separate,
    Span,
    Speed,
    Sphere,
    Subtract,
    Transform,
    Trim,
    Union,
    ValueRange,
)


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    # Few distinct values, so that failures are small and 1 and 1.0 both come up.
    return st.integers(0, 8).map(lambda i: low + (high - low) * i / 8)


def vectors(size: float) -> st.SearchStrategy[tuple[float, float, float]]:
    return st.tuples(*[numbers(-size, size)] * 3)


colors = st.tuples(*[numbers(0, 1)] * 3)
spans = st.one_of(st.none(), st.sampled_from([Span(0.25, 0.75), Span(0.1, 0.9, 0.2)]))
amount_keys = st.sampled_from([(), (Key(0.2, 0.0), Key(0.7, 1.0)), (Key(0.0, 1.0), Key(0.5, 0.25, "out"))])

simple: st.SearchStrategy[Selection] = st.one_of(
    st.just(All()),
    st.sampled_from([InLayers(("animal",)), InLayers(("ball",)), InLayers(("ball", "floor"))]),
    st.integers(0, 100).map(lambda first: Ids("animal", (first, first + 40))),
    st.integers(0, 150).map(lambda first: Ids("ball", (first, first + 9, first + 20, first + 60))),
    st.sampled_from([(4, 8, 16), (1, 2), (5, 6, 7)]).map(lambda bones: ByBones("animal", bones, 0.4)),
    numbers(0.3, 0.8).map(lambda size: Sphere((0.4, 0.0, 0.6), size)),
    numbers(0.3, 1.0).map(lambda size: Box((0.0, 0.0, 0.4), (size, size, size), (0.0, 0.0, 30.0), time=0.5)),
    numbers(-0.2, 0.6).map(lambda height: Plane((0.0, 0.0, height), (0.0, 0.0, 1.0), time=0.25)),
    numbers(0.1, 0.9).map(lambda red: ValueRange("red", high=red)),
)


@st.composite
def _combined(draw: st.DrawFn) -> Selection:
    one = draw(simple)
    how = draw(st.sampled_from(["plain", "plain", "invert", "grow", "union", "intersect", "subtract"]))
    if how in ("plain", "invert", "grow"):
        return {"plain": one, "invert": Invert(one), "grow": Grow(one, 0.1)}[how]
    other = draw(simple)
    return {"union": Union((one, other)), "intersect": Intersect((one, other)), "subtract": Subtract(one, (other,))}[
        how
    ]


selections = _combined()

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
edits: st.SearchStrategy[Edit] = st.one_of(
    surfel_edits,
    st.builds(Duplicate, select=selections, layer=st.sampled_from(["", "copy"])),
    st.builds(Separate, select=selections, layer=st.just("apart")),
    st.builds(NamePart, part=st.just("part"), select=selections),
    st.sampled_from(
        [
            MergeLayers(layers=("ball", "floor"), into="things"),
            Lock(layers=("ball",)),
            Hide(layers=("floor",)),
            Speed(factor=0.5),
            Speed(factor=2.0, layers=("animal",)),
            Reverse(layers=("ball",)),
            Loop(start=0.25, end=0.5, layers=("animal",)),
            Freeze(time=0.5, start=0.5),
            Trim(start=0.0, end=0.5, layers=("ball",)),
            PoseBones(layer="animal", bones=(BonePose(4, rotate=(0.0, 0.0, 30.0)),)),
        ]
    ),
)
