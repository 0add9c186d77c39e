"""A sheet of pictures of a reconstruction for a person to look at; a step of `reconstruct.py`.

Columns are moments.  Rows: the input, the scene from the input's cameras, its normals, then the scene and its normals
from a turntable, where every column is another side at another moment.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from recon4d.data import Dataset, read_dataset, write_png
from recon4d.export import camera_paths, draw, prepare
from recon4d.scene import Scene, load

COLUMNS = 8
SIDE = 320


def main(scene_path: str, source: str, output: str) -> None:
    """Write the sheet."""
    scene = load(scene_path)
    indices = np.unique(np.linspace(0, len(scene.frame_times) - 1, COLUMNS).round().astype(int))
    times = [scene.frame_times[i].item() for i in indices]
    own = [scene.cameras[i] for i in indices]
    scale = SIDE / max(own[0].width, own[0].height)
    size = (max(1, round(own[0].width * scale)), max(1, round(own[0].height * scale)))
    around = camera_paths.orbit(scene, times)
    rows = [truths(read_dataset(Path(source)), scene, times, size)]
    for cameras in (own, around):
        for what in ("color", "normal"):
            rows.append(np.stack(list(draw(prepare(scene, cameras, times, what=what, size=size, supersample=2)))))
    sheet = cropped(np.stack(rows))
    write_png(output, np.concatenate([np.concatenate(list(row), axis=1) for row in sheet], axis=0))


def cropped(tiles: np.ndarray) -> np.ndarray:
    """Pictures [rows, columns, h, w, 3] without the margin that is white in all of them."""
    drawn = (tiles < 250).any(axis=(0, 1, 4))
    y, x = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    if not len(y):
        return tiles
    return tiles[:, :, max(y[0] - 4, 0) : y[-1] + 5, max(x[0] - 4, 0) : x[-1] + 5]


def truths(dataset: Dataset, scene: Scene, times: list[float], size: tuple[int, int]) -> np.ndarray:
    """The input at some times [columns, h, w, 3], over white."""
    from PIL import Image

    views = dataset.split("train") or dataset.views
    first = views[0].time
    begin = scene.frame_times[0].item()
    pictures = []
    for time in times:
        # A video's first frame may be at another time than 0 in the scene.
        view = min(views, key=lambda view: abs((view.time - first) - (time - begin)))
        pixels = view.load_image()
        levels = pixels.astype(np.float32) / np.iinfo(pixels.dtype).max
        if levels.shape[2] == 4:
            levels = levels[..., :3] * levels[..., 3:] + 1 - levels[..., 3:]
        image = Image.fromarray(np.rint(255 * levels[..., :3]).astype(np.uint8))
        pictures.append(np.asarray(image.resize(size, Image.Resampling.LANCZOS)))
    return np.stack(pictures)


if __name__ == "__main__":
    main(*sys.argv[1:])
