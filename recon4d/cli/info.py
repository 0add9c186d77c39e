"""`recon4d info`: what is in a scene."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from recon4d.cli.console import print_line, print_table
from recon4d.core import Camera, Surfels
from recon4d.scene import Layer, Scene, load


def show_scene(path: Path) -> None:
    """Print the times, cameras, layers and provenance of the scene in the folder `path`."""
    scene = load(path)
    print_line(str(path))
    print_line(_describe_times(scene))
    print_line(_describe_cameras(scene.cameras))
    unit = scene.metres_per_unit
    print_line("scale: not known" if unit is None else f"scale: one unit is {unit:g} m")
    if scene.provenance:
        print_line(f"provenance: {json.dumps(scene.provenance, ensure_ascii=False)}")
    print_line("")
    columns = ["layer", "kind", "surfels", "colours", "warp", "from", "to"]
    print_table(columns, [_layer_row(layer) for layer in scene.layers])


def _describe_times(scene: Scene) -> str:
    count = len(scene.frame_times)
    first, last = scene.frame_times[0].item(), scene.frame_times[-1].item()
    if count == 1:
        return f"1 frame at {first:g} s"
    rate = (count - 1) / (last - first)
    return f"{count} frames from {first:g} s to {last:g} s, {rate:.4g} per second on average"


def _describe_cameras(cameras: list[Camera]) -> str:
    sizes = sorted({(camera.width, camera.height) for camera in cameras})
    shown = ", ".join(f"{width} x {height}" for width, height in sizes[:4])
    return f"cameras: {len(cameras)}, {shown}{' and others' if len(sizes) > 4 else ''} pixels"


def _layer_row(layer: Layer) -> list[str]:
    surfels = layer.field.canonical
    warp = type(layer.field.warp).__name__.removesuffix("Warp").lower()
    centers = surfels.centers.detach()
    if len(centers):
        lowest, highest = (_coordinates(corner) for corner in (centers.amin(dim=0), centers.amax(dim=0)))
    else:
        lowest = highest = "-"
    return [layer.name, layer.kind, f"{len(surfels):,}", _describe_colors(surfels), warp, lowest, highest]


def _describe_colors(surfels: Surfels) -> str:
    if surfels.sh is not None:
        return f"SH, {surfels.sh.shape[1]} coefficients"
    assert surfels.features is not None  # Surfels holds one of the two
    return f"{surfels.features.shape[1]} features"


def _coordinates(corner: Tensor) -> str:
    return " ".join(f"{value:.3g}" for value in corner.tolist())
