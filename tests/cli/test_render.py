"""`recon4d render`, as a user types it."""

from __future__ import annotations

import json
import re
import shlex

import numpy as np
import pytest

from recon4d.cli import main
from recon4d.data import read_image, read_video
from recon4d.scene import save
from tests.export.scenes import layered_scene, object_scene


@pytest.fixture
def scene(tmp_path):
    save(object_scene(), tmp_path / "blob.r4d")
    return str(tmp_path / "blob.r4d")


@pytest.mark.parametrize("path", ["orbit", "input", "spiral", "dolly", "bullet-time"])
def test_every_path_makes_a_video(tmp_path, capsys, scene, path):
    output = tmp_path / "a.mp4"
    arguments = ["--path", path, "--fps", "4", "--seconds", "1", "--size", "32x24"]
    assert main(["render", scene, "-o", str(output), *arguments]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^Drew 4 pictures of 32 x 24 pixels, the scene ", printed)
    assert "4 frames a second for 1.00 s" in printed
    assert str(output) in printed
    assert read_video(output).frames.shape == (4, 24, 32, 3)


def test_slow_motion_is_as_long_as_it_says(tmp_path, scene):
    output = tmp_path / "a.mp4"
    slow = ["--path", "input", "--time", "slow:0.25", "--fps", "5", "--size", "16x12", "--quiet"]
    assert main(["render", scene, "-o", str(output), *slow]) == 0
    assert len(read_video(output).frames) == 21


def test_quiet_prints_nothing(tmp_path, capsys, scene):
    assert main(["render", scene, "-o", str(tmp_path / "a.png"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_range_of_depth_and_the_colours_of_normals_are_said(tmp_path, capsys, scene):
    assert main(["render", scene, "-o", str(tmp_path / "d.png"), "--what", "depth"]) == 0
    near, far = re.search(r"from ([\d.]+) \(light\) to ([\d.]+) \(dark\)", capsys.readouterr().out).groups()
    assert 3 < float(near) < float(far) < 5.5
    assert main(["render", scene, "-o", str(tmp_path / "n.png"), "--what", "normal"]) == 0
    assert "towards the camera is blue" in capsys.readouterr().out
    given = ["--what", "depth", "--depth-range", "1:9"]
    assert main(["render", scene, "-o", str(tmp_path / "e.png"), *given]) == 0
    assert "from 1 (light) to 9 (dark)" in capsys.readouterr().out


def test_layers_are_chosen_by_name(tmp_path):
    save(layered_scene(), tmp_path / "all.r4d")
    shown = {}
    for name, layers in {"all": [], "two": ["--layer", "blob", "--layer", "ball"], "one": ["--layer", "ball"]}.items():
        output = tmp_path / f"{name}.png"
        wish = ["--what", "alpha", "--path", "input", *layers]
        assert main(["render", str(tmp_path / "all.r4d"), "-o", str(output), *wish]) == 0
        shown[name] = (read_image(output) > 127).mean()
    assert shown["all"] > 0.9
    assert shown["all"] > shown["two"] > shown["one"] > 0


def test_a_camera_file_decides_length_and_times(tmp_path, capsys, scene):
    keys = [
        {"time": 0, "position": [4, 0, 1], "look_at": [0, 0, 0], "scene_time": 0.5},
        {"time": 2, "position": [0, 4, 1], "look_at": [0, 0, 0], "scene_time": 1.0},
    ]
    (tmp_path / "shot.json").write_text(json.dumps({"format": "recon4d-camera-path", "version": 1, "keyframes": keys}))
    shot = ["--path", str(tmp_path / "shot.json"), "--fps", "5", "--size", "16x12"]
    assert main(["render", scene, "-o", str(tmp_path / "a.mp4"), *shot]) == 0
    assert "Drew 10 pictures of 16 x 12 pixels, the scene from 0.5 s to 1 s" in capsys.readouterr().out
    assert main(["render", scene, "-o", str(tmp_path / "b.mp4"), *shot, "--time", "0.25", "--seconds", "1"]) == 0
    assert "Drew 5 pictures of 16 x 12 pixels, the scene at 0.25 s" in capsys.readouterr().out


def test_a_folder_can_be_drawn_again_from_its_cameras(tmp_path, scene):
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["render", scene, "-o", str(first), "--path", "spiral", "--quiet"]) == 0
    assert main(["render", scene, "-o", str(second), "--path", str(first / "transforms.json"), "--quiet"]) == 0
    names = sorted(path.name for path in first.glob("*.png"))
    assert len(names) == 9
    assert sorted(path.name for path in second.glob("*.png")) == names
    for name in names:
        assert np.abs(read_image(first / name).astype(int) - read_image(second / name)).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--path", "loop"], "--path"),
        (["--path", "gone.json"], "gone.json"),
        (["--path", "bullet-time", "--time", "all"], "--time"),
        (["--time", "2"], "time"),
        (["--time", "later"], "time"),
        (["--size", "40"], "--size"),
        (["--size", "0x10"], "size"),
        (["--depth-range", "near"], "--depth-range"),
        (["--layer", "cat"], "layer"),
        (["--background", "plaid"], "background"),
        (["--background", "transparent"], "background"),
        (["--elevation", "95"], "elevation"),
        (["--distance", "0"], "distance"),
        (["--fps", "-1"], "fps"),
        (["--raw"], "raw"),
    ],
)
def test_a_wrong_option_is_one_line_and_makes_nothing(tmp_path, capsys, scene, arguments, named):
    output = tmp_path / "a.mp4"
    assert main(["render", scene, "-o", str(output), *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"recon4d: {named}: expected")
    assert printed.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blob.r4d"]


def test_what_is_there_stays_unless_it_may_be_replaced(tmp_path, capsys, scene):
    (tmp_path / "a.png").write_text("mine")
    assert main(["render", scene, "-o", str(tmp_path / "a.png")]) == 2
    assert (tmp_path / "a.png").read_text() == "mine"
    assert main(["render", scene, "-o", str(tmp_path / "a.png"), "--overwrite"]) == 0
    assert read_image(tmp_path / "a.png").shape == (48, 64, 3)


def test_the_page_names_options_that_exist(repository, capsys):
    assert main(["render", "--help"]) == 0
    options = set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", capsys.readouterr().out))
    page = (repository / "docs/render.md").read_text()
    assert set(re.findall(r"`(--[a-z-]+)", page)) <= options
    shown = re.findall(r"^recon4d render (.*)$", page, flags=re.MULTILINE)
    assert len(shown) > 5
    for command in shown:
        assert {word for word in shlex.split(command, comments=True) if word.startswith("-")} <= options
