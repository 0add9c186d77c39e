"""Clips that say little, with everything left to find out: each ends in a scene, and the scene's warnings say what is
missing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recon4d import Camera, rasterize
from recon4d.data import write_video
from recon4d.pipeline import ReconstructSettings, reconstruct
from recon4d.scene import load
from tests.pipeline import tiny

SIZE, COUNT = 96, 20


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def texture(seed: int) -> np.ndarray:
    """A wall of soft patches, [SIZE, SIZE, 3] in [0, 1]."""
    import cv2

    chance = np.random.default_rng(seed)
    layers = [cv2.resize(chance.random((n, n, 3)), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for n in (6, 12, 24)]
    return np.clip(np.mean(layers, 0) * 1.4 - 0.2, 0, 1)


def film(*, degrees: float, wall: np.ndarray | None, blur: int = 1, sway: float = 0.6) -> list[np.ndarray]:
    """The body sways sideways before a wall that stands still in the picture, the camera goes round it by `degrees`.

    Args:
        degrees: of the camera's way around.
        wall: behind the body; None is light gray.
        blur: pixels that everything is smeared over sideways, as by a hand that shakes.
        sway: how far the body goes to either side.
    """
    import cv2

    body = tiny.potato()
    behind = np.full((SIZE, SIZE, 3), tiny.GROUND) if wall is None else wall
    frames = []
    for index in range(COUNT):
        angle = math.radians(degrees * index / COUNT)
        eye = [5.0 * math.sin(angle), -5.0 * math.cos(angle), 0.8]
        camera = Camera.look_at(eye, [0.0, 0.0, 0.0], fov_y_degrees=38.0, width=SIZE, height=SIZE)
        aside = sway * math.sin(2 * math.pi * index / COUNT)
        moved = body.replace(centers=body.centers + torch.tensor([aside, 0.0, 0.3 * aside]))
        with torch.no_grad():
            out = rasterize(moved, camera, background=torch.zeros(3))
        picture = out.color.numpy() + (1 - out.alpha.numpy()) * behind
        frames.append((cv2.blur(picture, (blur, 1)).clip(0, 1) * 255).round().astype(np.uint8))
    return frames


CLIPS = {
    "a static camera": (film, {"degrees": 0.0, "wall": texture(1)}, ("one side only", "guess")),
    "a small turn before a plain wall": (film, {"degrees": 12.0, "wall": None, "sway": 0.1}, ("guess",)),
    "a blurred clip": (film, {"degrees": 0.0, "wall": texture(2), "blur": 9}, ("blurred", "guess")),
}


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_that_says_little_ends_in_a_scene_that_says_so(tmp_path, one_thread, name):
    make, options, words = CLIPS[name]
    frames = make(**options)
    source = tmp_path / "clip.mp4"
    write_video(source, frames, tiny.FPS)
    result = reconstruct(source, tmp_path / "o.r4d", ReconstructSettings(), config=tiny.config(iterations=120))
    scene = load(result.scene)
    assert scene.layers[0].kind == "object"
    told = " ".join(result.warnings)
    for word in words:
        assert word in told, result.warnings
    kept = result.scores["kept_out"]
    # Usable: it shows the input, and everything in it is finite.
    assert kept["psnr"] > 15
    assert kept["psnr_on_white"] > 15
    for time in (0.0, float(scene.frame_times[-1])):
        assert bool(torch.isfinite(scene.at(time).centers).all())


def test_a_plain_wall_is_left_out(tmp_path, one_thread):
    source = tmp_path / "clip.mp4"
    write_video(source, film(degrees=12.0, wall=None, sway=0.1), tiny.FPS)
    result = reconstruct(source, tmp_path / "o.r4d", ReconstructSettings(), config=tiny.config(iterations=16))
    assert [layer.kind for layer in load(result.scene).layers] == ["object"]
    assert result.scores["kept_out"]["psnr"] == pytest.approx(result.scores["kept_out"]["psnr_on_white"], abs=0.05)
