"""Films from camera keys and paths, and where files go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recon4d.core import Camera, InputError
from recon4d.data import scan_video
from recon4d.scene import Scene
from recon4d.viewer.filming import PATHS, film, hex_of, key_of, path_through, place_for, write_film
from recon4d.viewer.jobs import CancelledError, Job

SIZE = (64, 48)


def keys(scene: Scene) -> tuple:
    return tuple(key_of(camera, float(i), 0.2 * i) for i, camera in enumerate(scene.cameras[:4]))


def test_a_path_passes_through_its_keys(scene: Scene):
    path = path_through(keys(scene), *SIZE)
    cameras = path.cameras(4)
    for found, true in zip(cameras, scene.cameras[:4], strict=True):
        assert np.allclose(found.cam_from_world.numpy(), true.cam_from_world.double().numpy(), atol=1e-5)
        assert np.allclose(found.K.numpy(), true.K.double().numpy(), atol=1e-3)
    assert path.times(4) == pytest.approx([0, 0.2, 0.4, 0.6])


def test_a_path_is_smooth(scene: Scene):
    centers = np.stack([c.center_in_world.numpy() for c in path_through(keys(scene), *SIZE).cameras(200)])
    speed = np.linalg.norm(np.diff(centers, axis=0), axis=1)
    assert np.abs(np.diff(speed)).max() < 0.05 * speed.max()


@pytest.mark.parametrize("path", PATHS)
def test_every_path_makes_a_film(scene: Scene, path: str):
    made = film(scene, path, keys(scene), fps=12, size=SIZE)
    assert len(made.cameras) == len(made.times) > 1
    assert all(0 <= time <= 1 for time in made.times)


def test_a_path_needs_keys(scene: Scene):
    with pytest.raises(InputError, match="camera keys"):
        film(scene, PATHS[0], (), fps=12, size=SIZE)


def test_a_film_is_written_and_can_be_stopped(scene: Scene, tmp_path: Path):
    made = film(scene, PATHS[0], keys(scene)[:2], fps=12, size=SIZE)
    place = place_for(tmp_path, "My film", ".mp4")
    write_film(scene, made, place, size=SIZE, background="#808080", what="color", progress=lambda done, total: None)
    assert place == tmp_path / "exports" / "My film.mp4"
    assert len(scan_video(place).times) == len(made.times)
    job = Job("film", lambda share, words: None, lambda result, trouble: None)

    def progress(done: int, total: int) -> None:
        if done == 3:
            job.cancel()
        job.step(done / total, "")

    other = place_for(tmp_path, "My film", ".mp4")
    with pytest.raises(CancelledError):
        write_film(scene, made, other, size=SIZE, background="#808080", what="color", progress=progress)
    assert sorted(path.name for path in (tmp_path / "exports").iterdir()) == ["My film.mp4"]


@pytest.mark.parametrize(
    ("name", "made"),
    [("../../x", "_.._x.mp4"), ("a/b", "a_b.mp4"), ("", "scene.mp4"), ("...", "scene.mp4"), ("\x00", "_.mp4")],
)
def test_names_stay_in_their_folder(tmp_path: Path, name: str, made: str):
    place = place_for(tmp_path, name, ".mp4")
    assert place.name == made
    assert place.resolve().parent == (tmp_path / "exports").resolve()


def test_a_link_for_a_folder_is_refused(tmp_path: Path):
    (tmp_path / "exports").symlink_to("/tmp")
    with pytest.raises(InputError, match="link"):
        place_for(tmp_path, "x", ".mp4")


def test_names_that_are_taken_are_counted(tmp_path: Path):
    place_for(tmp_path, "x", ".png").touch()
    assert place_for(tmp_path, "x", ".png").name == "x-2.png"


def test_colours_as_hexadecimal_digits():
    assert hex_of((1.0, 0.5, 0.0)) == "#ff8000"


def test_keys_keep_their_view():
    camera = Camera.look_at([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], fov_y_degrees=33, width=80, height=60)
    assert key_of(camera, 1.0, 0.5).fov_degrees == pytest.approx(33, abs=1e-4)
