"""Edits that fit any reconstructed scene with an object before a background, shown on one."""

from __future__ import annotations

from pathlib import Path

import torch
from stage import hat, save
from torch import Tensor

from recon4d import rasterize
from recon4d.editors import (
    AssetFile,
    Attach,
    Builder,
    InLayers,
    Insert,
    Recolor,
    RemoveObject,
    SceneView,
    Transform,
    evaluate,
)
from recon4d.scene import Layer, Scene


def show(scene: Scene, output: Path) -> Path:
    """A strip of the scene from its own cameras: as it is, recoloured, with a hat, larger, and removed and healed."""
    subject = max((layer for layer in scene.layers if layer.kind == "object"), key=lambda layer: len(layer.field))
    output.mkdir(parents=True, exist_ok=True)
    edits = {
        "recoloured": _recolored(subject),
        "hat": _with_hat(subject, scene, output),
        "larger": _larger(subject),
        "removed": _removed(subject),
    }
    rows = [_row(scene)]
    for stack in edits.values():
        rows.append(_row(evaluate(scene, stack.stack, folder=output)))
    return save("real.png", torch.cat(rows, 0), output)


def _row(scene: Scene | SceneView) -> Tensor:
    count = len(scene.frame_times)
    pictures = []
    for i in (count // 8, count // 2, count - 1 - count // 8):
        camera = scene.cameras[i]
        small = camera.resized(300, max(1, round(300 * camera.height / camera.width))).to(torch.float32)
        with torch.no_grad():
            surfels = scene.appearance_at(scene.frame_times[i].item())
            pictures.append(rasterize(surfels, small, background=torch.ones(3)).color)
    return torch.cat(pictures, 1)


def _recolored(subject: Layer) -> Builder:
    edits = Builder()
    edits.add(Recolor(select=InLayers((subject.name,)), color=(0.2, 0.45, 0.85)))
    return edits


def _larger(subject: Layer) -> Builder:
    edits = Builder()
    edits.add(Transform(select=InLayers((subject.name,)), scale=1.4))
    return edits


def _removed(subject: Layer) -> Builder:
    edits = Builder()
    edits.add(RemoveObject(select=InLayers((subject.name,))))
    return edits


def _with_hat(subject: Layer, scene: Scene, folder: Path) -> Builder:
    """A hat on what is topmost in the pictures at the middle of the clip."""
    hat(folder / "hat.ply")
    middle = len(scene.frame_times) // 2
    time, camera = scene.frame_times[middle].item(), scene.cameras[middle].to(torch.float32)
    solid = subject.field.canonical.opacities > 0.3
    centers = subject.field.at(time).centers[solid]
    up = -camera.cam_from_world[1, :3]
    heights = centers @ up
    top = centers[heights > heights.quantile(0.97)].median(0).values
    size = float((heights.quantile(0.98) - heights.quantile(0.02)).abs())
    turn = torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]), up)
    angle = torch.rad2deg(torch.acos(up[2].clamp(-1, 1)))
    axis = torch.nn.functional.normalize(turn, dim=0) * angle
    edits = Builder()
    edits.add(
        Insert(
            asset=AssetFile("hat.ply", surfels=6000),
            layer="hat",
            translate=tuple(top.tolist()),
            rotate=tuple(axis.tolist()),
            scale=0.35 * size,
        )
    )
    edits.add(Attach(layer="hat", to=subject.name, time=time))
    return edits
