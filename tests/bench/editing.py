"""What editing costs: python -m tests.bench.editing

A walking quadruped of 100,000 surfels and a floor, edited after a few edits that are cached: the time of one more edit
of each kind, of `SceneView.at(t)`, and of opening a stack of 1,000 edits from its file.  Wall time is the best of some
runs; CPU time stands beside it, because other programs stretch the first and not the second.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from recon4d.editors import (
    All,
    AlongSurface,
    Box,
    Brush,
    ByBones,
    ColorFlood,
    Deform,
    Delete,
    Duplicate,
    Edit,
    EditStack,
    Grade,
    Grow,
    HandlePose,
    Ids,
    InLayers,
    Lasso,
    NamePart,
    Opacity,
    Plane,
    PoseKey,
    Ray,
    Recolor,
    Rectangle,
    ScalePart,
    SceneView,
    Selection,
    Separate,
    Sphere,
    Transform,
    ValueRange,
    View,
    evaluate,
    load_stack,
    save_stack,
)
from recon4d.scene import Layer, Scene
from recon4d.synthetic.creature_field import creature_field
from tests.editors.scenes import CAMERAS, TIMES, floor

HEAD = (4, 8, 16)


def scene(count: int) -> Scene:
    """The quadruped and the floor."""
    animal = creature_field("quadruped", count, lit=False)
    return Scene(TIMES, CAMERAS, [Layer("animal", "object", animal), Layer("floor", "background", floor())])


def best(run: Callable[[], object], times: int = 5) -> tuple[float, float]:
    """Least wall and CPU milliseconds of several runs, after one to warm up."""
    run()
    walls, cpus = [], []
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return 1e3 * min(walls), 1e3 * min(cpus)


def selections() -> dict[str, Selection]:
    """One of each."""
    view = View.of(CAMERAS[0].resized(480, 360), 0.5)
    ray = Ray((2.6, -2.6, 1.4), (-2.0, 2.6, -0.85), 0.5, radius=0.1)
    seed = Ray((2.6, -2.6, 1.4), (-2.0, 2.6, -0.85), 0.5)
    points = ((150.0, 100.0), (300.0, 100.0), (320.0, 250.0), (140.0, 240.0))
    return {
        "everything": All(),
        "layer": InLayers(("animal",)),
        "ids, 1,000 runs": Ids("animal", tuple(i for a in range(0, 100_000, 100) for i in (a, a + 49))),
        "click": ray,
        "rectangle": Rectangle(view, low=(150.0, 100.0), high=(320.0, 250.0)),
        "rectangle, through": Rectangle(view, True, low=(150.0, 100.0), high=(320.0, 250.0)),
        "lasso": Lasso(view, points=points),
        "brush": Brush(view, points=points, radius=12.0),
        "box at a time": Box((0.2, 0.0, 0.5), (0.8, 0.8, 0.8), (0.0, 0.0, 30.0), time=0.5),
        "sphere": Sphere((0.5, 0.0, 0.8), 0.4),
        "plane": Plane((0.0, 0.0, 0.4), (0.0, 0.0, 1.0)),
        "flood of colour": ColorFlood(seed, 0.15),
        "opacity": ValueRange("opacity", high=0.99),
        "speed": ValueRange("speed", low=0.2),
        "normal": ValueRange("normal", high=60.0),
        "bones": ByBones("animal", HEAD),
        "grow": Grow(ByBones("animal", HEAD), 0.02),
        "along the surface": AlongSurface(seed, 0.2, 60.0),
    }


def edits() -> dict[str, Edit]:
    """One of each that is to be quick, and some that need not."""
    head = ByBones("animal", HEAD)
    keys = (PoseKey(0.2), PoseKey(0.8, rotate=(0.0, 0.0, 40.0), scale=1.3))
    return {
        "recolor a part": Recolor(select=head, color=(0.9, 0.1, 0.1)),
        "recolor all": Recolor(select=InLayers(("animal",)), color=(0.9, 0.1, 0.1)),
        "grade all": Grade(select=InLayers(("animal",)), hue=60.0, saturation=1.2),
        "opacity": Opacity(select=head, factor=0.5),
        "transform a part": Transform(select=head, scale=1.4, rotate=(0.0, 0.0, 20.0)),
        "transform all": Transform(select=InLayers(("animal",)), scale=1.4, rotate=(0.0, 0.0, 20.0)),
        "transform, keys": Transform(select=head, keys=keys),
        "transform, soft": Transform(select=head, scale=1.4, soft=0.05),
        "delete a part": Delete(select=head),
        "duplicate": Duplicate(select=head),
        "separate": Separate(select=head, layer="head"),
        "scale_part": ScalePart(select=head, factor=1.4),
        "deform": Deform(
            select=InLayers(("animal",)),
            handles=(
                HandlePose((0.8, 0.0, 1.0), 0.15, translate=(0.1, 0.0, 0.1)),
                HandlePose((-0.4, 0.0, 0.6), 0.3),
            ),
        ),
    }


def measure(count: int) -> Iterator[str]:
    """Rows of the tables, as they come."""
    base = scene(count)
    before = (Recolor(select=InLayers(("floor",)), color=(0.5, 0.5, 0.6)), Grade(select=All(), exposure=0.1))
    stack = EditStack().add(*before)
    evaluate(base, stack)
    yield from ("| one more edit | ms | CPU ms |", "|---|---|---|")

    def one_more(edit: Edit) -> Callable[[], object]:
        number = iter(range(10_000))

        def run() -> object:
            # Another amount or id each time, so that the cache does not know it.
            return evaluate(base, stack.add(replace(edit, id=f"one-more-{next(number)}")))

        return run

    for name, selection in selections().items():
        wall, cpu = best(one_more(NamePart(part="chosen", select=selection)))
        yield f"| select: {name} | {wall:.1f} | {cpu:.1f} |"
    for name, edit in edits().items():
        wall, cpu = best(one_more(edit), 2 if name == "deform" else 5)
        yield f"| {name} | {wall:.1f} | {cpu:.1f} |"
    yield from ("", "| `SceneView.at(t)` | ms | CPU ms |", "|---|---|---|")
    head = ByBones("animal", HEAD)
    keyed = Transform(select=head, keys=(PoseKey(0.2), PoseKey(0.8, rotate=(0.0, 0.0, 40.0), scale=1.3)))
    views: dict[str, SceneView] = {
        "no edits": evaluate(base, EditStack()),
        "timeless edits": evaluate(base, stack.add(Transform(select=head, scale=1.4))),
        "a part moves by keys": evaluate(base, stack.add(keyed)),
    }
    for name, view in views.items():
        moments = iter(range(10_000))
        wall, cpu = best(lambda view=view, moments=moments: view.at(0.001 * next(moments)), 15)
        yield f"| {name} | {wall:.1f} | {cpu:.1f} |"
    yield from ("", "| 1,000 edits | s | CPU s |", "|---|---|---|", _thousand(base))


def _thousand(base: Scene) -> str:
    generator = torch.Generator().manual_seed(0)
    many: list[Edit] = []
    for i in range(1000):
        first = int(torch.randint(0, 90_000, (1,), generator=generator))
        some = Ids("animal", (first, first + 2000))
        kind = i % 4
        if kind == 0:
            many.append(Recolor(select=some, color=(0.2, 0.4, (i % 10) / 10)))
        elif kind == 1:
            many.append(Opacity(select=some, factor=0.99))
        elif kind == 2:
            many.append(Grade(select=some, exposure=0.05))
        else:
            many.append(Delete(select=Ids("animal", (99_000 - 20 * (i // 4), 99_009 - 20 * (i // 4)))))
    with tempfile.TemporaryDirectory() as folder:
        save_stack(EditStack().add(*many), folder)
        size = (Path(folder) / "edits.json").stat().st_size
        wall, cpu = best(lambda: evaluate(replace(base), load_stack(folder)), 3)
    return f"| open and evaluate, {size / 1e3:.0f} kB | {wall / 1e3:.2f} | {cpu / 1e3:.2f} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--surfels", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with torch.no_grad():
        for row in measure(options.surfels):
            print(row, flush=True)


if __name__ == "__main__":
    main()
