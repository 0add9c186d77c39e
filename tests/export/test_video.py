"""What is written, and what is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recon4d import InputError
from recon4d.data import read_dataset, read_image, read_video
from recon4d.export import camera_paths, draw, draw_depths, draw_video, prepare, read_camera_file, turntable
from recon4d.scene import Scene
from tests.export.scenes import TIMES, object_scene

SCENE = object_scene()
CAMERAS = camera_paths.input_path(SCENE, TIMES[:4].tolist())
MOMENTS = TIMES[:4].tolist()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_video_holds_every_frame(tmp_path):
    drawn = draw_video(SCENE, CAMERAS, MOMENTS, output=tmp_path / "a.mp4", fps=10)
    video = read_video(tmp_path / "a.mp4")
    assert (drawn.frames, drawn.width, drawn.height, drawn.fps, drawn.notes) == (4, 64, 48, 10, ())
    assert video.frames.shape == (4, 48, 64, 3)
    assert np.diff(video.times) == pytest.approx(0.1)
    expected = np.stack(list(draw(prepare(SCENE, CAMERAS, MOMENTS))))
    assert np.abs(video.frames.astype(float) - expected).mean() < 2
    assert files(tmp_path) == ["a.mp4"]


def test_the_same_call_gives_the_same_bytes(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        draw_video(SCENE, CAMERAS, MOMENTS, output=tmp_path / name, what="bones")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_odd_sides_are_padded_and_said(tmp_path):
    drawn = draw_video(SCENE, CAMERAS, MOMENTS, output=tmp_path / "a.mp4", size=(33, 25))
    assert (drawn.width, drawn.height) == (33, 25)
    assert "34x26" in drawn.notes[0]
    assert read_video(tmp_path / "a.mp4").frames.shape[1:3] == (26, 34)


def test_a_picture_is_the_first_view(tmp_path):
    drawn = draw_video(SCENE, CAMERAS, MOMENTS, output=tmp_path / "a.png", background="transparent")
    assert (drawn.frames, drawn.fps) == (1, None)
    (expected,) = draw(prepare(SCENE, CAMERAS[:1], MOMENTS[:1], background="transparent"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


def test_a_folder_is_a_data_set_and_a_camera_path(tmp_path):
    folder = tmp_path / "new" / "views"
    draw_video(SCENE, CAMERAS, MOMENTS, output=folder)
    assert files(folder) == ["00000.png", "00001.png", "00002.png", "00003.png", "transforms.json"]
    dataset = read_dataset(folder)
    assert [view.time for view in dataset.views] == MOMENTS
    for view, camera in zip(dataset.views, CAMERAS, strict=True):
        np.testing.assert_allclose(view.camera.cam_from_world.numpy(), camera.cam_from_world.numpy(), atol=1e-6)
    again = read_camera_file(folder / "transforms.json", CAMERAS[0], np.array([0.0, 0, 1]))
    draw_video(SCENE, again.cameras(4), again.times(4), output=tmp_path / "again")
    for i in range(4):
        first, second = (read_image(place / f"{i:05d}.png").astype(int) for place in (folder, tmp_path / "again"))
        assert np.abs(first - second).max() <= 1


def test_raw_depths_can_be_turned_back(tmp_path):
    draw_video(SCENE, CAMERAS, MOMENTS, output=tmp_path / "depths", what="depth", raw=True)
    step = json.loads((tmp_path / "depths/depth.json").read_text())["scene_units_per_step"]
    for i, depth in enumerate(draw_depths(prepare(SCENE, CAMERAS, MOMENTS, what="depth"))):
        levels = read_image(tmp_path / f"depths/{i:05d}.png")
        assert levels.dtype == np.uint16
        np.testing.assert_array_equal(levels == 0, depth == 0)
        np.testing.assert_allclose(levels * step, depth, atol=0.51 * step)


def test_raw_depths_beyond_the_range_are_marked_and_counted(tmp_path):
    drawn = draw_video(SCENE, CAMERAS, MOMENTS, output=tmp_path / "d", what="depth", raw=True, depth_range=(0.1, 2.0))
    levels = np.stack([read_image(tmp_path / f"d/{i:05d}.png") for i in range(4)])
    assert (levels == 65535).sum() > 0
    assert drawn.notes == (f"{(levels == 65535).sum()} pixels are beyond the range and have the value 65535.",)


def test_a_turntable_goes_around_while_the_scene_plays(tmp_path):
    told: list[int] = []
    drawn = turntable(
        SCENE, tmp_path / "t.mp4", seconds=0.5, fps=12, size=(40, 40), progress=lambda done, _: told.append(done)
    )
    assert (drawn.frames, drawn.width, drawn.height) == (6, 40, 40)
    assert told == [1, 2, 3, 4, 5, 6]
    still = turntable(SCENE, tmp_path / "t.mp4", time=0.5, seconds=0.5, fps=12)  # replaces the first
    assert read_video(still.path).frames.shape == (6, 48, 64, 3)
    assert turntable(Scene(TIMES[:1], SCENE.cameras[:1], SCENE.layers), tmp_path / "one").frames == 96


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("a.gif", {}, r"\.mp4"),
        ("missing/a.mp4", {}, "folder"),
        ("a.mp4", {"background": "transparent"}, "background"),
        ("a.mp4", {"what": "depth", "raw": True}, "raw"),
        ("views", {"raw": True}, "raw"),
        ("a.mp4", {"fps": 0.0}, "fps"),
        ("a.mp4", {"layers": ["cat"]}, "cat"),
    ],
)
def test_a_wrong_wish_leaves_nothing_behind(tmp_path, name, options, named):
    with pytest.raises(InputError, match=named):
        draw_video(SCENE, CAMERAS, MOMENTS, output=tmp_path / name, **options)
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "views"])
def test_nothing_is_replaced_unasked(tmp_path, name):
    draw_video(SCENE, CAMERAS, MOMENTS, output=tmp_path / name)
    with pytest.raises(InputError, match="overwrite it"):
        draw_video(SCENE, CAMERAS, MOMENTS, output=tmp_path / name)
    draw_video(SCENE, CAMERAS[:2], MOMENTS[:2], output=tmp_path / name, overwrite=True)
    if name == "views":
        assert files(tmp_path / name) == ["00000.png", "00001.png", "transforms.json"]


def test_a_folder_of_somebody_else_is_never_removed(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/dear.txt").write_text("dear")
    with pytest.raises(InputError, match="other files"):
        draw_video(SCENE, CAMERAS, MOMENTS, output=tmp_path / "letters", overwrite=True)
    assert files(tmp_path / "letters") == ["dear.txt"]


@pytest.mark.parametrize("name", ["a.mp4", "views"])
def test_an_interrupt_leaves_the_old_and_nothing_else(tmp_path, name):
    draw_video(SCENE, CAMERAS, MOMENTS, output=tmp_path / name)
    before = files(tmp_path)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_video(SCENE, CAMERAS, MOMENTS, output=tmp_path / name, overwrite=True, progress=stop)
    assert files(tmp_path) == before
    if name == "views":
        assert len(files(tmp_path / name)) == 5
