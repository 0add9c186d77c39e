"""Textures of edited scenes whose film lies beside them: the film's colours, where they belong, as the edits want them.

The film shows more green than the surfels have, so that its colours can be told from the scene's own.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.data import write_png
from recon4d.editors import (
    Delete,
    Duplicate,
    Edit,
    EditStack,
    Grade,
    Hide,
    InLayers,
    Key,
    MergeLayers,
    Plane,
    Recolor,
    RenameLayer,
    Reverse,
    ScalePart,
    Speed,
    Sphere,
    Transform,
    open_view,
    save_stack,
    shapes,
)
from recon4d.export.mesh.layers import LayerMesh, LayerMeshes, mesh_layers
from recon4d.export.request import ExportRequest
from recon4d.field import Field, RigidWarp
from recon4d.render import rasterize
from recon4d.scene import Layer, Scene, save
from tests.export.scenes import TIMES, blob, ring, straight, two_bones

GREEN = 0.15
BLOB, BALL = InLayers(names=("blob",)), InLayers(names=("ball",))


def _scene() -> Scene:
    """A bending blob, coloured by place, and a magenta ball that passes before it; times as of a folder of images."""
    shape, ball = blob(2500, 0.7, (0.0, 0.0, 0.0)), blob(400, 0.25, (0.9, 0.05, 0.9), seed=1)
    shape = shape.replace(sh=coefficients_from_color(torch.from_numpy(_painted(shape.centers.numpy())).float()))
    bent = Field(shape, torch.arange(len(shape)), two_bones(shape))
    flying = Field(ball, torch.arange(len(ball)), RigidWarp(straight((-0.4, 0.4, 0), (0.2, 1.2, 0.1))))
    times = torch.arange(len(TIMES), dtype=torch.float64) / 30
    layers = {"blob": bent, "ball": flying}
    return Scene(
        times,
        ring(160, size=(96, 96), distance=3.5, height=0.6),
        [Layer(n, "object", shapes.retime(f, start=0.0, speed=1 / float(times[-1]))) for n, f in layers.items()],
        provenance={"input": {"name": "film"}},
    )


def _painted(places: np.ndarray) -> np.ndarray:
    """Colours of the blob's surfels at canonical places."""
    return (0.45 + 0.5 * places) * [1.0, 0.6, 1.0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scene, a.r4d, and its film."""
    place, scene = tmp_path_factory.mktemp("filmed"), _scene()
    (place / "film").mkdir()
    for i, (time, camera) in enumerate(zip(scene.frame_times.tolist(), scene.cameras, strict=True)):
        drawn = rasterize(scene.appearance_at(time), camera)
        color = drawn.color[..., :3] + torch.tensor([0.0, GREEN, 0.0]) * drawn.alpha
        write_png(place / "film" / f"{i:03d}.png", (color.clamp(0, 1) * 255).round().byte().numpy())
    save(scene, place / "a.r4d")
    return place


def _made(folder: Path, *edits: Edit, layer: str = "blob", **more: Any) -> tuple[LayerMesh, LayerMeshes]:
    path = folder / "a.r4d"
    save_stack(EditStack(edits), path)
    options = {"faces": 900, "texture": "vertex", "scene_path": path, "layers": (layer,)} | more
    made = mesh_layers(open_view(path), ExportRequest(folder / "none", **options))
    return made.layers[0], made


@pytest.fixture(scope="module")
def plain(folder: Path) -> LayerMesh:
    layer, made = _made(folder)
    assert made.warnings == ()
    return layer


def _filmed(layer: LayerMesh) -> np.ndarray:
    """Which vertices are on the side of the blob that the cameras go round and that no ball hides all the time."""
    return layer.mesh.vertices[:, 1] > 0.2


def _film_colors(layer: LayerMesh) -> np.ndarray:
    return _painted(layer.mesh.vertices) + np.array([0, GREEN, 0])


def test_without_edits_a_mesh_has_the_films_colours(plain: LayerMesh) -> None:
    assert plain.paint_source == "frames of film"
    assert plain.psnr_of == "the coloured mesh"
    assert plain.psnr > 28
    shown = _filmed(plain)
    assert shown.sum() > 100
    assert np.abs(plain.colors - _film_colors(plain))[shown].mean() < 0.025


@pytest.mark.parametrize(
    "edits",
    [
        (Reverse(),),
        (Speed(factor=2.0),),
        (Transform(select=BLOB, translate=(0.9, -0.7, 0.3), rotate=(0, 0, 70), scale=1.5, frame="world"),),
        (Transform(select=BLOB, translate=(0.9, -0.7, 0.3), rotate=(0, 0, 70), scale=1.5),),
        (RenameLayer(layer="ball", to="shell"), RenameLayer(layer="blob", to="ball"),
         RenameLayer(layer="ball", to="blob")),
    ],
    ids=["reverse", "speed", "moved in the world", "moved", "renamed"],
)  # fmt: skip
def test_edits_of_time_and_place_leave_the_films_colours(edits: tuple[Edit, ...], folder: Path, plain) -> None:
    layer, _ = _made(folder, *edits)
    assert layer.paint_source == plain.paint_source
    assert layer.psnr == pytest.approx(plain.psnr, abs=1.5)
    assert layer.seen == pytest.approx(plain.seen, abs=0.05)
    # Simplification may place vertices elsewhere; but much of the film's green is there all the same.
    assert layer.colors[:, 1].mean() == pytest.approx(plain.colors[:, 1].mean(), abs=0.01)
    if layer.colors.shape == plain.colors.shape and np.array_equal(layer.mesh.faces, plain.mesh.faces):
        assert np.abs(layer.colors - plain.colors).mean() < 0.01


def test_a_part_that_was_scaled_keeps_its_colours(folder: Path, plain: LayerMesh) -> None:
    part = Sphere(center=(0.7, 0, 0), radius=0.6, layers=("blob",))
    layer, _ = _made(folder, ScalePart(select=part, factor=2.0))
    assert np.ptp(layer.mesh.vertices[:, 0]) > 1.15 * np.ptp(plain.mesh.vertices[:, 0])
    # As many triangles have a larger surface to cover.
    assert layer.psnr > plain.psnr - 3
    # Red grows along x, up to where the part was before.
    tip = layer.mesh.vertices[:, 0] > 0.8
    assert tip.sum() > 20
    assert layer.colors[tip, 0].mean() == pytest.approx(0.45 + 0.5 * 0.6, abs=0.07)


@pytest.mark.parametrize("texture", [64, "vertex"])
def test_what_is_flat_blue_is_blue_all_over(texture: Any, folder: Path, plain: LayerMesh) -> None:
    layer, _ = _made(folder, Recolor(select=BLOB, color=(0, 0, 1), mode="flat"), texture=texture)
    colors = layer.colors if layer.texture is None else layer.texture.reshape(-1, 3) / 255
    assert np.abs(colors - [0, 0, 1]).max() < 0.02
    # No frame shows a blue blob: what is measured is the mesh before.
    assert layer.psnr_of == "the mesh before its colours were edited"
    assert layer.psnr > 25
    assert layer.paint_source == "frames of film, recoloured"


def test_a_grade_keeps_what_only_the_film_shows(folder: Path, plain: LayerMesh) -> None:
    layer, _ = _made(folder, Grade(select=BLOB, exposure=-1.0))
    shown = _filmed(layer)
    assert np.abs(layer.colors - 0.5 * plain.colors)[shown].mean() < 0.01
    half = Plane(point=(0, 0, 0), normal=(0, 0, 1), layers=("blob",))
    layer, _ = _made(folder, Grade(select=half, exposure=-1.0))
    above, below = (shown & (side * layer.mesh.vertices[:, 2] > 0.12) for side in (1, -1))
    # The side that the plane's normal points to is chosen.
    assert np.abs(layer.colors - 0.5 * plain.colors)[above].mean() < 0.015
    np.testing.assert_allclose(layer.colors[below], plain.colors[below], atol=1e-6)


def test_colours_that_change_over_time_come_out_in_their_mean(folder: Path) -> None:
    keys = (Key(0.0, 0.0, "linear"), Key(8 / 30, 1.0, "linear"))
    layer, made = _made(folder, Recolor(select=BLOB, color=(0, 0, 1), mode="flat", keys=keys))
    half = 0.5 * _film_colors(layer) + [0, 0, 0.5]
    shown = _filmed(layer)
    assert np.abs(layer.colors - half)[shown].mean() < 0.03
    assert any("change over time" in warning for warning in made.warnings)
    layer, made = _made(folder, Recolor(select=BLOB, color=(0, 0, 1), mode="flat", keys=keys), at=8 / 30)
    assert np.abs(layer.colors - [0, 0, 1]).max() < 0.02
    assert made.warnings == ()


@pytest.mark.parametrize(
    "edits",
    [(Delete(select=BALL),), (Hide(layers=("ball",)),), (MergeLayers(layers=("blob", "ball")), Delete(select=Sphere(
        center=(0.2, 1.2, 0.1), radius=0.5, time=0.0)))],
    ids=["deleted", "hidden", "deleted from within"],
)  # fmt: skip
def test_what_was_taken_away_leaves_no_pixels_behind(edits: tuple[Edit, ...], folder: Path, plain) -> None:
    layer, _ = _made(folder, *edits)
    assert layer.psnr == pytest.approx(plain.psnr, abs=0.5)
    shown = _filmed(layer)
    assert np.abs(layer.colors - _film_colors(layer))[shown].mean() < 0.025
    # The ball has more red and blue than most of the blob.
    assert (layer.colors - _film_colors(layer))[shown][:, [0, 2]].max() < 0.12


def test_what_edits_made_has_the_colours_of_renders(folder: Path) -> None:
    moved = Transform(select=InLayers(names=("copy",)), translate=(-1.2, 0.6, 0), frame="world")
    graded = Recolor(select=InLayers(names=("copy",)), color=(1, 0.5, 0), mode="flat")
    layer, made = _made(folder, Duplicate(select=BALL, layer="copy"), graded, moved, layer="copy")
    assert layer.paint_source == "renders of the scene"
    assert np.abs(layer.colors - [1, 0.5, 0]).mean() < 0.03
    assert layer.psnr > 25
    assert any("100 % of the surface of the layer 'copy' was made by edits" in warning for warning in made.warnings)


def test_an_edited_scene_without_a_folder_does_not_know_what_was_filmed(folder: Path) -> None:
    save_stack(EditStack(), folder / "a.r4d")
    view = open_view(folder / "a.r4d")
    with pytest.raises(Exception, match="an edited scene without a folder"):
        mesh_layers(view, ExportRequest(folder / "none", frames=folder / "film"))
    assert dataclasses.replace(view).layers[0].name == "blob"
