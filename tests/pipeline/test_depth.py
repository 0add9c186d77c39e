"""Depth maps in the main job: the data set's, given ones and a learned model's; and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recon4d import losses, rasterize
from recon4d.core import Camera, InputError
from recon4d.data import View, write_png
from recon4d.data.formats.nerfstudio import write_nerfstudio
from recon4d.pipeline import ReconstructSettings, StageDone, Warned, reconstruct
from recon4d.scene import load
from tests.data.tiny_models import save_depth_anything
from tests.pipeline import tiny

FRAMES, SIZE = 8, 48


def depth_of(camera: Camera) -> np.ndarray:
    """[H, W] camera z of the body at rest, 0 where there is none."""
    with torch.no_grad():
        out = rasterize(tiny.potato(), camera)
    return torch.where(out.alpha > 0.5, out.depth, 0)[..., 0].numpy()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.clip(tmp_path_factory.mktemp("clip") / "clip.mp4", FRAMES, SIZE)


@pytest.fixture(scope="module")
def posed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of a camera that hardly moves, with cameras, masks and depth maps."""
    folder = tmp_path_factory.mktemp("posed")
    images, cameras = tiny.frames(FRAMES, SIZE, degrees=10.0)
    (folder / "images").mkdir()
    (folder / "depth").mkdir()
    views = []
    for index, (image, mask, camera) in enumerate(zip(images, tiny.masks_of(images), cameras, strict=True)):
        name = f"{index:05d}"
        write_png(folder / "images" / f"{name}.png", np.dstack([image, mask]))
        np.save(folder / "depth" / f"{name}.npy", depth_of(camera))
        views.append(
            View(f"images/{name}", "train", folder / "images" / f"{name}.png", index / tiny.FPS, camera,
                 depth_path=folder / "depth" / f"{name}.npy")
        )  # fmt: skip
    write_nerfstudio(folder, views)
    return folder


def run(source: Path, folder: Path, iterations: int = 6, **settings: object):
    """The result, what the stages chose, and the warnings."""
    told: list = []
    result = reconstruct(
        source, folder / "o.r4d", tiny.settings(**settings), config=tiny.config(iterations=iterations),
        listen=told.append,
    )  # fmt: skip
    chosen = {event.stage: event.chosen for event in told if isinstance(event, StageDone)}
    return result, chosen, [event.text for event in told if isinstance(event, Warned)]


def depth_error(scene: Path, posed: Path) -> float:
    """Of the whole clip, in shares of each frame's deviation."""
    scene_ = load(scene)
    (layer,) = scene_.layers
    total = 0.0
    for index, camera in enumerate(tiny.frames(FRAMES, SIZE, degrees=10.0)[1]):
        with torch.no_grad():
            out = rasterize(layer.field.at(index / tiny.FPS), camera)
        z = torch.from_numpy(np.load(posed / "depth" / f"{index:05d}.npy"))[..., None].float()
        known = torch.where(z > 0, 1 / z, torch.nan)
        total += float(losses.relative_depth_error(out.depth, known, out.alpha * (z > 0), delta=10.0))
    return total / FRAMES


def test_depth_of_the_data_set_bends_the_shape(posed, tmp_path):
    """From one side the hull is no surface: depth tells what the images cannot, and is taken only when asked for."""
    other = tmp_path / "other units"
    for folder in (tmp_path / "without", tmp_path / "file", tmp_path / "folder", other):
        folder.mkdir()
    for path in (posed / "depth").iterdir():
        np.save(other / path.name, 7 * np.load(path))
    plain, chosen, _ = run(posed, tmp_path / "without", 120, cameras="file")
    assert "depth" not in chosen
    for name, depth, units in (("file", "file", "the scene's"), ("folder", str(other), "of each frame's own")):
        told, chosen, _ = run(posed, tmp_path / name, 120, cameras="file", depth=depth)
        assert chosen["depth"] == f"{FRAMES} depth maps"
        (stage,) = (one for one in load(told.scene).provenance["stages"] if one["stage"] == "depth")
        assert stage["facts"]["units"] == units
        assert depth_error(told.scene, posed) < 0.7 * depth_error(plain.scene, posed)


def test_a_folder_of_depth_maps_is_matched_by_number(posed, clip, tmp_path):
    _, chosen, _ = run(clip, tmp_path, depth=str(posed / "depth"), masks="auto")
    assert chosen["depth"] == f"{FRAMES} depth maps"


def test_frames_without_a_depth_map_do_without(posed, clip, tmp_path):
    some = tmp_path / "some"
    some.mkdir()
    for index in (0, 5):
        depth = np.load(posed / "depth" / f"{index:05d}.npy")
        write_png(some / f"{index:05d}.png", np.rint(1000 * depth).astype(np.uint16))
    _, chosen, _ = run(clip, tmp_path, depth=str(some))
    assert chosen["depth"] == "2 depth maps"


def test_a_learned_model_looks_at_the_fitted_frames_only(clip, tmp_path, monkeypatch):
    from recon4d.data.learned import depths

    seen: list[int] = []
    genuine = depths._inverse_depth
    monkeypatch.setattr(
        depths, "_inverse_depth", lambda frames, *rest: (seen.append(len(frames)), genuine(frames, *rest))[1]
    )
    weights = f"depth-anything:{save_depth_anything(tmp_path / 'weights')}"
    result, chosen, _ = run(clip, tmp_path, depth=weights, train_every=2)
    assert chosen["depth"].startswith("depth-anything")
    assert sum(seen) == FRAMES // 2
    assert "depth" in {record["stage"] for record in load(result.scene).provenance["stages"]}


def test_weights_that_are_not_there_leave_depth_out_with_one_line(clip, tmp_path):
    _, chosen, warned = run(clip, tmp_path, depth=f"dpt:{tmp_path / 'none'}")
    assert chosen["depth"] == "none"
    (line,) = (text for text in warned if "depth was left out" in text)
    assert "\n" not in line


def test_models_that_make_something_else_are_refused():
    with pytest.raises(InputError, match="--depth: expected depth-anything:FOLDER or dpt:FOLDER"):
        ReconstructSettings(depth="sam2:weights")
    with pytest.raises(InputError, match="--masks: expected sam2:FOLDER"):
        ReconstructSettings(masks="dpt:weights")


def test_depth_that_does_not_fit_is_refused(posed, clip, tmp_path):
    with pytest.raises(InputError, match="--depth file: expected a data set with depth maps, got none in it"):
        run(clip, tmp_path, depth="file")
    with pytest.raises(InputError, match=r"--depth .*: expected none, file, a folder .*, got nothing there"):
        run(clip, tmp_path, depth=str(tmp_path / "nothing"))
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    np.save(wrong / "00000.npy", np.ones((10, 30), np.float32))
    with pytest.raises(InputError, match="expected a depth map of the shape of its image, 48x48, got 30x10"):
        run(clip, tmp_path, depth=str(wrong))


def test_a_capture_with_depth_of_another_size_is_refused():
    from recon4d.train import Capture

    images, cameras = tiny.frames(2, 24)
    with pytest.raises(InputError, match="Capture frame 1: expected an image, a camera, masks and depth of one size"):
        Capture(
            images=images, masks=[tiny.masks_of(images)], times=(0.0, 1.0), cameras=tuple(cameras),
            fitted=(True, True), depths=[None, np.ones((12, 24), np.float32)],
        )  # fmt: skip
    capture = Capture(
        images=images, masks=[tiny.masks_of(images)], times=(0.0, 1.0), cameras=tuple(cameras), fitted=(True, True)
    )
    other = replace(capture, depths=[None, np.ones((24, 24), np.float32)])
    assert capture.fingerprint() != other.fingerprint()
