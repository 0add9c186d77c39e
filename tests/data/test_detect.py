"""Detection: plain folders and videos become sequences, and a folder that fits several formats says so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recon4d.core import InputError
from recon4d.data import read_dataset
from recon4d.data.formats.blender import write_blender
from recon4d.data.formats.nerfstudio import write_nerfstudio
from recon4d.data.formats.plain import read_clip, read_images
from recon4d.data.images import read_image, write_png
from recon4d.data.video import write_video
from tests.data.examples import Shelf, picture, random_camera


def mask(number: int) -> np.ndarray:
    result = np.zeros((10, 12), np.uint8)
    result[number] = 255
    return result


@pytest.mark.parametrize("inner", [".", "images"])
def test_a_folder_of_images_is_a_sequence_in_natural_order(tmp_path, inner):
    (tmp_path / inner).mkdir(exist_ok=True)
    (tmp_path / "masks").mkdir()
    for number in (10, 9, 1):
        write_png(tmp_path / inner / f"f_{number}.png", picture(number))
    write_png(tmp_path / inner / ".hidden.png", picture(0))
    write_png(tmp_path / "masks" / "f_9.jpg.png", mask(4))
    dataset = read_dataset(tmp_path)
    assert dataset.format == "images"
    assert [view.load_image()[0, 0, 2] for view in dataset.views] == [1, 9, 10]
    np.testing.assert_allclose([view.time for view in dataset.views], [0, 1 / 30, 2 / 30])
    assert [view.time_normalized for view in dataset.views] == [0, 0.5, 1]
    assert [view.mask_path is None for view in dataset.views] == [True, False, True]
    np.testing.assert_array_equal(dataset.views[1].load_mask(), mask(4) / 255)
    assert all(view.camera is None and view.camera_id == "0" for view in dataset.views)
    assert any("assumed" in warning for warning in dataset.warnings)
    assert read_images(tmp_path, fps=2).times.tolist() == [0, 0.5, 1]
    assert read_images(tmp_path, fps=2).warnings == ()
    (tmp_path / "meta.json").write_text('{"fps": 4, "background": [1, 1, 1]}')
    dataset = read_dataset(tmp_path)
    assert dataset.times.tolist() == [0, 0.25, 0.5]
    assert dataset.background == (1, 1, 1)


@pytest.mark.parametrize("masks", ["clip-masks", "clip_masks", "masks"])
def test_a_video_is_a_sequence_with_true_times(tmp_path, masks):
    path = tmp_path / "clip.mp4"
    times = [0.0, 0.1, 0.4]
    write_video(path, np.stack([picture(50 * number) for number in range(3)]), 10, times=times)
    (tmp_path / masks).mkdir()
    write_png(tmp_path / masks / "00002.png", mask(3))
    for dataset in (read_dataset(path), read_clip(path)):
        assert dataset.format == "video"
        np.testing.assert_allclose(dataset.times, times, rtol=0, atol=1e-9)
        assert [view.frame_index for view in dataset.views] == [0, 1, 2]
        assert [view.mask_path is None for view in dataset.views] == [True, True, False]
        np.testing.assert_array_equal(dataset.views[2].load_mask(), mask(3) / 255)
        for number, view in reversed(list(enumerate(dataset.views))):
            assert abs(int(view.load_image()[5, 5, 2]) - 50 * number) < 12
    assert "h264" in read_clip(path).description or "mpeg4" in read_clip(path).description


def test_one_video_in_a_folder_is_taken_and_two_are_not(tmp_path):
    write_video(tmp_path / "a.mp4", picture(0)[None], 10)
    assert read_dataset(tmp_path).format == "video"
    write_video(tmp_path / "b.mp4", picture(0)[None], 10)
    with pytest.raises(InputError, match=r"2 videos without cameras\.json"):
        read_dataset(tmp_path)


def test_several_formats_in_one_folder_are_told(tmp_path):
    shelf = Shelf(tmp_path)
    view = shelf.view("images/a.png", camera=random_camera(np.random.default_rng(0)))
    write_nerfstudio(tmp_path, [view])
    dataset = read_dataset(tmp_path)
    assert (dataset.format, len(dataset.warnings)) == ("nerfstudio", 0)
    write_blender(tmp_path, [view])
    dataset = read_dataset(tmp_path)
    assert dataset.format == "blender"
    assert any("nerfstudio" in warning for warning in dataset.warnings)
    assert read_dataset(tmp_path / "transforms.json").format == "nerfstudio"
    assert read_dataset(tmp_path / "transforms_train.json").format == "blender"


def test_sample_clips_and_frames(samples_dir):
    for name, frames, masks in (("camel", 90, 90), ("car-roundabout", 75, 75), ("train", 80, 0)):
        dataset = read_dataset(samples_dir / "frames" / name)
        assert (len(dataset.views), sum(view.mask_path is not None for view in dataset.views)) == (frames, masks)
        first = dataset.views[0]
        assert first.load_image().shape == (480, 854, 3)
        if masks:
            assert set(np.unique(first.load_mask())) == {0.0, 1.0}
            np.testing.assert_array_equal(
                first.load_mask() > 0.5, read_image(first.mask_path).reshape(480, 854, -1)[..., 0] > 0
            )
    for name, frames, size in (("apple.mp4", 50, (720, 1296)), ("generated-dancing-robot.mp4", 32, (512, 512))):
        dataset = read_dataset(samples_dir / "video" / name)
        assert len(dataset.views) == frames
        assert dataset.views[3].load_image().shape == (*size, 3)
        assert dataset.warnings == ()


def test_what_synthesize_writes_beside_its_transforms(tmp_path):
    shelf = Shelf(tmp_path)
    view = shelf.view("train/a.png", camera=random_camera(np.random.default_rng(0)))
    write_blender(tmp_path, [view])
    path = tmp_path / "transforms_train.json"
    content = json.loads(path.read_text())
    frame = content["frames"][0]
    del frame["time_seconds"], frame["camera_id"]
    frame |= {"time": 1.0, "seconds": 2.5, "camera": 3, "frame": 0}
    path.write_text(json.dumps(content))
    for folder in ("masks", "depth", "normals", "flow"):
        (tmp_path / folder / "train").mkdir(parents=True)
    write_png(tmp_path / "masks/train/a.png", mask(2))
    np.savez(tmp_path / "depth/train/a.npz", depth=np.full((10, 12), 3, np.float32))
    np.savez(tmp_path / "normals/train/a.npz", normal=np.tile(np.float32([0, 0, -1]), (10, 12, 1)))
    np.savez(tmp_path / "flow/train/a.npz", flow=np.ones((10, 12, 2), np.float32))
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "frame_0000.ply").write_bytes(b"")
    dataset = read_dataset(tmp_path)
    (found,) = dataset.views
    assert (found.time, found.camera_id) == (2.5, "3")
    assert dataset.mesh_files() == [(2.5, tmp_path / "meshes" / "frame_0000.ply")]
    assert dataset.warnings == ()
    np.testing.assert_array_equal(found.load_mask(), mask(2) / 255)
    assert (found.load_depth() == 3).all()
    assert (found.load_normal() == (0, 0, -1)).all()
    assert (found.load_flow() == 1).all()
