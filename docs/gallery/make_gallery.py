"""Makes the pictures of docs/editing.md: .venv/bin/python docs/gallery/make_gallery.py [--only NAME] [--real SCENE.r4d]

Each piece is a short stack of edits on a scene of built-in creatures, written as a script, read back and evaluated as
`recon4d edit` does it; the picture has the scene before above and after below, over time and from several sides.  With
--real, edits that fit any scene are shown on that one; those pictures go to --output, never among the committed ones.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from stage import PICTURES, SECONDS, bones_named, floor_of, hat, save, strip, vase, walk

from recon4d.editors import (
    AssetFile,
    Attach,
    Builder,
    ByBones,
    Delete,
    EditStack,
    Grade,
    InLayers,
    Insert,
    Recolor,
    RemoveObject,
    ReplaceSubject,
    ScalePart,
    SceneView,
    Span,
    evaluate,
)
from recon4d.editors.document import script_from_bytes
from recon4d.scene import Layer, Scene, load
from recon4d.scene import save as save_scene
from recon4d.synthetic import creature_field

TIMES = [0.2, 0.7, 1.2, 1.7, 2.2]
AZIMUTHS = [-70.0, -40.0, -100.0, -20.0, 60.0]
FOX = InLayers(("fox",))
VASE = (0.3, -0.75)


def edited(scene: Scene, edits: Builder, folder: Path) -> SceneView:
    """The scene after a script that was written to a file and read again."""
    file = folder / "script.json"
    edits.write(file)
    return evaluate(scene, EditStack(script_from_bytes(file.read_bytes(), str(file))), folder=folder)


def big_head(folder: Path) -> list[Scene]:
    """The head half as large again; one ear twice."""
    scene, edits = walk(), Builder()
    head = edits.part("head", ByBones("fox", bones_named("head", "ear_left", "ear_right")))
    edits.add(ScalePart(select=head, factor=1.5))
    ear = edits.part("left ear", ByBones("fox", bones_named("ear_left")))
    edits.add(ScalePart(select=ear, factor=1.8))
    return [scene, edited(scene, edits, folder)]


def blue_fox(folder: Path) -> list[Scene]:
    """A blue coat that comes and goes, under an evening light."""
    scene, edits = walk(), Builder()
    edits.add(Recolor(select=FOX, color=(0.25, 0.45, 0.85), during=Span(0.4, 2.1, 0.3)))
    edits.add(Grade(select=InLayers(("meadow",)), exposure=-0.4, gain=(1.1, 0.95, 0.85)))
    return [scene, edited(scene, edits, folder)]


def top_hat(folder: Path) -> list[Scene]:
    """A hat that rides on the head."""
    scene, edits = walk(), Builder()
    hat(folder / "hat.ply")
    head = scene.layer("fox").field.at(0.0).centers[_following(scene, "head")]
    crown = head[head[:, 2] > head[:, 2].quantile(0.9)].mean(0).tolist()
    edits.add(
        Insert(
            asset=AssetFile("hat.ply", surfels=8000),
            layer="hat",
            translate=(crown[0] - 0.03, crown[1], crown[2] - 0.03),
            rotate=(0.0, -12.0, 0.0),
            scale=0.34,
        )
    )
    edits.add(Attach(layer="hat", to="fox", bone=bones_named("head")[0], time=0.0))
    return [scene, edited(scene, edits, folder)]


def fish_on_land(folder: Path) -> list[Scene]:
    """A fish in the place of the fox, moved by the fox's bones."""
    scene, edits = walk(), Builder()
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    fish = Scene(times, scene.cameras[:2], [Layer("fish", "object", creature_field("fish", 20_000))])
    save_scene(fish, folder / "fish.r4d")
    edits.add(ReplaceSubject(layer="fox", asset=AssetFile("fish.r4d")))
    return [scene, edited(scene, edits, folder)]


def one_of_two(folder: Path) -> list[Scene]:
    """A vase hides ground that no frame saw; deleted it leaves a hole, removed it does not."""
    scene = walk()
    meadow = scene.layer("meadow")
    seen = (meadow.field.canonical.centers[:, :2] - torch.tensor(VASE)).norm(dim=-1) > 0.15
    layers = [scene.layer("fox"), Layer("meadow", "background", meadow.field.select(seen))]
    scene = with_vase(replace(scene, layers=layers), folder)
    vase_only = InLayers(("vase",))
    deleted, removed = Builder(), Builder()
    deleted.add(Delete(select=vase_only))
    removed.add(RemoveObject(select=vase_only, views=8))
    return [scene, edited(scene, deleted, folder), edited(scene, removed, folder)]


def a_vase(folder: Path) -> list[Scene]:
    """A vase is put beside the path."""
    scene = walk()
    return [scene, with_vase(scene, folder)]


def with_vase(scene: Scene, folder: Path) -> SceneView:
    """The scene and a vase."""
    edits = Builder()
    ground = floor_of(scene.layer("fox").field)
    vase(folder / "vase.ply")
    edits.add(
        Insert(asset=AssetFile("vase.ply", surfels=12_000), layer="vase", translate=(0.3, -0.75, ground), scale=0.7)
    )
    return edited(scene, edits, folder)


def _following(scene: Scene, bone: str) -> torch.Tensor:
    warp = scene.layer("fox").field.warp
    chosen = torch.isin(warp.weight_indices, torch.tensor(bones_named(bone)))  # type: ignore[attr-defined]
    return (warp.weights * chosen).sum(-1) > 0.5  # type: ignore[attr-defined]


PIECES: dict[str, Callable[[Path], list[Scene]]] = {
    "head": big_head,
    "coat": blue_fox,
    "hat": top_hat,
    "replaced": fish_on_land,
    "removed": one_of_two,
    "vase": a_vase,
}


def make(name: str, output: Path) -> Path:
    """Make one picture."""
    with tempfile.TemporaryDirectory() as folder:
        scenes = PIECES[name](Path(folder))
        assert max(TIMES) <= SECONDS
        return save(f"editing-{name}.png", strip(scenes, TIMES, AZIMUTHS), output)


def main() -> None:
    """Make the pictures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted(PIECES), action="append")
    parser.add_argument("--output", type=Path, default=PICTURES)
    parser.add_argument("--real", type=Path, help="a scene from a real video, shown with --output elsewhere")
    options = parser.parse_args()
    if options.real is not None:
        from real import show

        sys.stdout.write(f"{show(load(options.real), options.output)}\n")
        return
    for name in options.only or PIECES:
        sys.stdout.write(f"{make(name, options.output)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
