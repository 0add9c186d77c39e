"""`recon4d evaluate` as a user runs it: the truth is perfect, and what is disturbed scores what a hand works out."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from recon4d.cli import main
from recon4d.data import read_dataset, write_png
from recon4d.evaluate import PSNR_CEILING, Mesh, mesh_surface
from recon4d.evaluate.actionbench import chamfer_sum
from recon4d.field import Field
from recon4d.scene import Layer, Scene, load
from tests.cli import flat_world
from tests.cli.flat_world import (
    DIAGONAL,
    DISTANCE,
    FRAMES,
    GLIDE,
    PLACES,
    RADIUS,
    RIM,
    SIDE,
    STEP,
    World,
    changed,
    discs,
    draw,
    glide,
    scene_of,
    stored,
)

SAMPLES = 1500
FEW = ["--samples", str(SAMPLES), "--emd-samples", "200", "--track-points", "100"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return flat_world.make_world(tmp_path_factory.mktemp("flat") / "data")


@pytest.fixture
def score(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Runs the command and returns the JSON that it wrote."""

    def run(*arguments: object, times: int = 2) -> dict:
        file = tmp_path / "scores.json"
        options = ["--geometry-frames", str(times), *FEW, "--json", str(file)]
        code = main(["evaluate", *map(str, arguments), *options])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return json.loads(file.read_text())

    return run


def test_the_truth_is_perfect_on_every_metric(world: World, score) -> None:
    result = score(world.saved, "--against", world.folder, "--meshes", world.folder / "meshes", times=FRAMES)
    assert result["psnr"] == result["psnr_masked"] == PSNR_CEILING
    assert result["flip"] == result["flip_masked"] == 0
    for key in ("ssim", "ms_ssim", "ssim_masked"):
        assert result[key] == pytest.approx(1, abs=1e-9)
    assert result["chamfer_percent"] == pytest.approx(0, abs=1e-9)
    assert result["chamfer_dgmesh"] == result["emd"] == 0
    assert result["normal_error_deg"] == pytest.approx(0, abs=1e-6)
    assert result["f_score"] == result["delta_5"] == result["delta_10"] == 1
    assert result["track_error_percent"] == pytest.approx(0, abs=1e-4)
    assert result["camera_rotation_error_deg"] == pytest.approx(0, abs=1e-4)
    assert result["camera_translation_error_percent"] == pytest.approx(0, abs=1e-4)
    assert result["flicker"] == 0
    assert result["id_persistence"] == pytest.approx(1, abs=1e-3)
    # These three compare one drawing of points with another: two drawings of the truth itself are as far apart.
    floor = sampling_floor()
    for key in ("cd_3d", "cd_4d", "cd_m"):
        assert 0.5 * floor < result[key] < 1.05 * floor
    assert result["n_images"] == FRAMES
    assert result["resolution"] == f"{SIDE}x{SIDE}"


def sampling_floor() -> float:
    """Chamfer distance, both directions summed, of two drawings from the true mesh scaled to a longest side of 2."""
    mesh = Mesh(*flat_world.fan(0.0))
    first, second = (mesh_surface(mesh, SAMPLES, seed).points for seed in (101, 202))
    side = np.ptp(first, axis=0).max()
    return chamfer_sum(first * (2 / side), second * (2 / side))


def test_the_surfels_themselves_are_perfect_but_for_the_rim(world: World, score) -> None:
    """Without meshes of its own, a scene is the discs of one standard deviation; the true fans have straight rims."""
    result = score(world.saved, "--against", world.folder, "--protocol", "geometry")
    assert 0 <= result["chamfer_percent"] < 1e-3
    assert result["f_score"] == 1
    assert result["normal_error_deg"] == pytest.approx(0, abs=1e-4)
    # The middle of each fan has a surfel in its place; its rim is a radius away from it.
    assert result["chamfer_dgmesh"] == pytest.approx(0.5 * RADIUS**2 * RIM / (RIM + 1), rel=1e-4)
    assert result["n_images"] == 0
    assert result["psnr"] is None


@pytest.mark.parametrize("lift", [0.005, 0.05])
def test_surfels_above_the_truth_are_off_by_their_height(world: World, score, tmp_path: Path, lift: float) -> None:
    centers = discs().centers + torch.tensor([0.0, 0, lift])
    scene = changed(world, tmp_path / "lifted.r4d", centers=centers)
    result = score(scene, "--against", world.folder, "--protocol", "geometry")
    assert result["chamfer_percent"] == pytest.approx(100 * lift / DIAGONAL, rel=1e-3)
    assert result["f_score"] == (1 if lift < 0.01 * DIAGONAL else 0)
    assert result["normal_error_deg"] == pytest.approx(0, abs=1e-4)
    expected = 0.5 * (lift**2 + lift**2 + RADIUS**2 * RIM / (RIM + 1))
    assert result["chamfer_dgmesh"] == pytest.approx(expected, rel=1e-4)
    tracks = score(scene, "--against", world.folder, "--protocol", "tracks")
    # A point of the truth keeps its offset to the surfel that carries it: all motion is still right.
    assert tracks["track_error_percent"] == pytest.approx(0, abs=1e-4)


def test_meshes_above_the_truth_are_off_by_their_height(world: World, score, tmp_path: Path) -> None:
    lift = 0.03
    flat_world.write_meshes(tmp_path / "meshes", lift)
    result = score(
        world.saved, "--against", world.folder, "--meshes", tmp_path / "meshes", "--protocol", "geometry"
    )  # fmt: skip
    assert result["chamfer_percent"] == pytest.approx(100 * lift / DIAGONAL, rel=1e-6)
    # Both sets are drawn alike, and of all pairings of a set with itself moved none is shorter than the move.
    assert result["emd"] == pytest.approx(lift, rel=0.01)
    assert result["chamfer_dgmesh"] == pytest.approx(lift**2, rel=1e-6)


def test_tilted_discs_have_their_tilt_as_normal_error(world: World, score, tmp_path: Path) -> None:
    half = math.radians(12) / 2
    tilt = torch.tensor([[math.cos(half), math.sin(half), 0.0, 0.0]]).repeat(len(PLACES), 1)
    scene = changed(world, tmp_path / "tilted.r4d", rotations_wxyz=tilt)
    result = score(scene, "--against", world.folder, "--protocol", "geometry")
    assert result["normal_error_deg"] == pytest.approx(12, abs=1e-3)
    # A disc of evenly spread points that is tilted by a about a diameter is r * 4 / (3 pi) * sin(a) away on average.
    # Seen from the truth the way to the tilted disc is a little shorter; the mean of both lies between the two.
    height = RADIUS * 4 / (3 * math.pi) * math.sin(math.radians(12))
    assert result["chamfer_percent"] == pytest.approx(100 * height / DIAGONAL, rel=0.02)


def test_discs_that_stay_behind_have_the_way_as_track_error(world: World, score, tmp_path: Path) -> None:
    scene = stored(scene_of(discs(), world.scene.cameras, glide(0.0)), tmp_path / "frozen.r4d")
    result = score(scene, "--against", world.folder, "--protocol", "tracks", times=FRAMES)
    ways = GLIDE * np.arange(1, FRAMES)
    assert result["track_error_percent"] == pytest.approx(100 * ways.mean() / DIAGONAL, rel=1e-4)
    assert result["delta_5"] == pytest.approx((ways < 0.05 * DIAGONAL).mean())
    assert result["delta_10"] == pytest.approx((ways < 0.10 * DIAGONAL).mean())
    assert 0 < result["delta_5"] < result["delta_10"] < 1
    shape = score(scene, "--against", world.folder, "--protocol", "geometry", times=FRAMES)
    # CD-M follows pairs of the first frame: the way, in both directions, in units of half the longest side.
    way = 2 * GLIDE * np.arange(FRAMES).mean() * 2 / (1.5 + 2 * RADIUS)
    assert shape["cd_m"] == pytest.approx(way, rel=0.05)
    # Each frame on its own fits as well as the truth does.
    assert shape["cd_3d"] < 1.05 * sampling_floor() < shape["cd_4d"]


def test_brighter_colours_cost_what_the_formula_says(world: World, score, tmp_path: Path) -> None:
    step = 16 / 255
    features = discs().features
    assert features is not None
    result = score(
        changed(world, tmp_path / "bright.r4d", features=features + step), "--against", world.folder,
        "--protocol", "dnerf",
    )  # fmt: skip
    expected = []
    for view in read_dataset(world.folder).split("test"):
        weight = draw(world.scene, view).alpha.numpy()
        expected.append(-10 * math.log10(np.mean((step * weight) ** 2)))
    # Rounding to 8 bits moves each error by half a level at most, up as often as down.
    assert result["psnr"] == pytest.approx(np.mean(expected), abs=0.05)
    assert result["psnr_masked"] is None
    assert result["background"] == "white"
    assert 0 < result["flip"] < 0.2


def test_turned_and_shifted_cameras_score_their_turn_and_shift(world: World, score, tmp_path: Path) -> None:
    cameras = world.scene.cameras
    turned = Scene(world.scene.frame_times, flat_world.turned_cameras(cameras, 3), world.scene.layers)
    result = score(
        stored(turned, tmp_path / "turned.r4d"), "--against", world.folder, "--protocol", "tracks", "--align", "never"
    )  # fmt: skip
    assert result["camera_rotation_error_deg"] == pytest.approx(3, abs=1e-4)
    assert result["camera_translation_error_percent"] == pytest.approx(0, abs=1e-4)
    shifted = Scene(world.scene.frame_times, flat_world.shifted_cameras(cameras, 0.06), world.scene.layers)
    path = stored(shifted, tmp_path / "shifted.r4d")
    result = score(path, "--against", world.folder, "--protocol", "geometry", "--align", "never")
    assert result["camera_rotation_error_deg"] == pytest.approx(0, abs=1e-4)
    # The centres lie on a hexagon with corners 0.3 from its middle, two of them on the x axis.
    across = math.hypot(0.6, 0.6 * math.sin(math.pi / 3))
    assert result["camera_translation_error_percent"] == pytest.approx(100 * 0.06 / across, rel=1e-4)
    # Aligned on the cameras the shift is undone, and the discs are off by it instead: in their plane, inside a disc.
    aligned = score(path, "--against", world.folder, "--protocol", "tracks")
    assert aligned["camera_translation_error_percent"] == pytest.approx(0, abs=1e-3)
    assert any("aligned to the truth once" in note for note in aligned["notes"])


def test_discs_that_take_turns_have_no_lasting_ids(world: World, score, tmp_path: Path) -> None:
    """Two equal sets of discs; each is in sight for half of the time and behind the camera for the other half."""
    times = STEP * (torch.arange(FRAMES + 5, dtype=torch.float64) - 2)
    layers = []
    for name, early in (("early", True), ("late", False)):
        away = (times > STEP * (FRAMES - 1) / 2) == early
        shifts = torch.where(away[:, None], torch.tensor([0.0, 0, 100]), torch.zeros(3)).double()
        spline = glide().path
        warp = type(glide())(
            type(spline)(spline.rotations_wxyz.double(), shifts, start=float(times[1]), step=STEP)
        ).to(torch.float32)  # fmt: skip
        layers.append(Layer(name, "object", Field(discs(), torch.arange(len(PLACES)), warp)))
    scene = stored(Scene(world.scene.frame_times, world.scene.cameras, layers), tmp_path / "turns.r4d")
    heights = [load(scene).at(STEP * i).centers[:: len(PLACES), 2].tolist() for i in range(FRAMES)]
    seen = [[name for name, z in zip("el", pair, strict=True) if z < DISTANCE] for pair in heights]
    # Moments at which both are away are left out; one of the steps between the others changes all of the picture.
    seen = [who for who in seen if who]
    assert sorted(seen) == seen == [["e"]] * seen.count(["e"]) + [["l"]] * seen.count(["l"])
    assert seen.count(["e"]) >= 2 <= seen.count(["l"])
    result = score(scene, "--against", world.folder, times=FRAMES)
    assert result["id_persistence"] == pytest.approx(1 - 1 / (len(seen) - 1), abs=1e-3)


def test_two_folders_of_images(tmp_path: Path, score) -> None:
    ours, truth = tmp_path / "ours", tmp_path / "truth"
    rng = np.random.default_rng(0)
    for folder in (ours, truth):
        folder.mkdir()
    for i in range(3):
        image = rng.integers(0, 200, (24, 30, 3), dtype=np.uint8)
        write_png(truth / f"{i}.png", image)
        write_png(ours / f"{i}.png", image + np.uint8(10 * (i + 1)))
    result = score("--images", ours, "--against", truth)
    assert result["protocol"] == "images"
    assert result["psnr"] == pytest.approx(np.mean([20 * math.log10(255 / level) for level in (10, 20, 30)]))
    assert result["flicker"] == pytest.approx(10)
    assert result["n_images"] == 3


def recon4d(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in the repository's root."""
    command = [sys.executable, "-m", "recon4d", *map(str, arguments)]
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=300)


def test_as_a_user_runs_it(world: World, tmp_path: Path) -> None:
    page, file = tmp_path / "report.html", tmp_path / "scores.json"
    ran = recon4d(
        "evaluate", world.saved, "--against", world.folder, "--protocol", "dnerf", "--json", file, "--html", page
    )  # fmt: skip
    assert ran.returncode == 0
    assert ran.stderr == ""
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert ["PSNR", f"{PSNR_CEILING:.4g}", "dB,", "higher", "is", "better"] in lines
    assert "Images: the test split.\n" in ran.stdout
    assert ran.stdout.endswith(f"Written: {file}\nWritten: {page}\n")
    assert json.loads(file.read_text())["protocol"] == "dnerf"
    assert page.read_text().startswith("<!doctype html>")
    quiet = recon4d("evaluate", world.saved, "--against", world.folder, "--protocol", "tracks", *FEW, "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a refused command prints."""
    assert main(["evaluate", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("recon4d: ")
    return printed.err


def test_what_cannot_be_scored_is_one_line(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    said = refused(capsys, tmp_path / "no.r4d", "--against", world.folder)
    assert "no.r4d: expected the folder of a scene, got nothing there" in said
    said = refused(capsys, empty, "--against", world.folder)
    assert f"{empty}" in said
    assert "scene" in said
    said = refused(capsys, world.saved, "--against", empty)
    assert f"{empty}: expected one of blender:" in said
    said = refused(capsys, world.saved, "--against", tmp_path / "nothing")
    assert "nothing there" in said
    said = refused(capsys, "--against", world.folder)
    assert "evaluate: expected a scene, or --images with a folder, got neither" in said
    said = refused(capsys, world.saved, "--images", empty, "--against", world.folder)
    assert "got both" in said
    said = refused(capsys, world.saved, "--against", world.folder, "--masks", empty)
    assert "--masks: expected with --images only" in said
    said = refused(capsys, "--images", empty, "--against", empty, "--protocol", "all")
    assert "--protocol: expected with a scene only" in said
    said = refused(capsys, world.saved, "--against", world.folder, "--json", tmp_path / "none" / "a.json")
    assert "a.json: expected a file in a folder that exists" in said
    said = refused(capsys, "--images", empty, "--against", world.folder / "test")
    assert "expected a folder of images" in said


def test_a_data_set_without_its_images_is_one_line(tmp_path: Path, world: World, capsys) -> None:
    poor = tmp_path / "poor"
    poor.mkdir()
    (poor / "transforms_train.json").write_text((world.folder / "transforms_train.json").read_text())
    assert "r_000" in refused(capsys, world.saved, "--against", poor)
    (poor / "transforms_train.json").write_text('{"camera_angle_x": 0.7, "frames": []}')
    assert "expected at least one image, got none" in refused(capsys, world.saved, "--against", poor)


def test_images_of_other_sizes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, size in (("ours", (20, 20, 3)), ("truth", (20, 24, 3))):
        (tmp_path / name).mkdir()
        write_png(tmp_path / name / "a.png", np.zeros(size, np.uint8))
    said = refused(capsys, "--images", tmp_path / "ours", "--against", tmp_path / "truth")
    assert "a.png: expected the size of" in said
    assert "24x20" in said
    assert "got 20x20" in said


def test_the_commands_defaults_are_the_librarys() -> None:
    import inspect

    from recon4d.cli.app import evaluate
    from recon4d.evaluate import PROTOCOLS, Settings

    settings, checked = Settings(), 0
    for name, parameter in inspect.signature(evaluate).parameters.items():
        if hasattr(settings, name):
            assert parameter.default == getattr(settings, name), name
            checked += 1
    assert checked >= 12
    assert all(f"'{name}'" in str(inspect.signature(evaluate).parameters["protocol"]) for name in PROTOCOLS)
