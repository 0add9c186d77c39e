"""`recon4d synthesize` as a user runs it, and its output through `recon4d evaluate`."""

from __future__ import annotations

import inspect
import json
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from recon4d.cli import main
from recon4d.data import Dataset, read_dataset
from recon4d.field import Field
from recon4d.scene import Layer, Scene, save
from recon4d.synthetic import CREATURE_NAMES, creature, creature_field
from tests.cli.truth_checks import check
from tests.synthetic.conftest import build_glb

REPOSITORY = Path(__file__).resolve().parents[2]
FRAMES = 4
SMALL = ["--frames", FRAMES, "--val-frames", 1, "--test-frames", 2, "--width", 64, "--height", 56, "--detail", 0.5]

AS_IN_THE_FOREGROUND = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)


def start(*arguments: object) -> subprocess.Popen[str]:
    # A shell lets what it starts in the background ignore interrupts, which would be handed down to the program.
    command = [sys.executable, "-c", AS_IN_THE_FOREGROUND, sys.executable, "-m", "recon4d", *map(str, arguments)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def recon4d(*arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command in a process of its own."""
    with start(*arguments) as process:
        out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def quietly(*arguments: object) -> None:
    """The command inside this process, which is quicker."""
    assert main(["synthesize", *map(str, arguments), "--quiet"]) == 0


@pytest.fixture(scope="module")
def fish(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A fish between three cameras, and what the command printed.  The video is as long as the fish's own clip."""
    folder = tmp_path_factory.mktemp("cli") / "fish"
    fps = (FRAMES - 1) / creature("fish").duration
    code, out, err = recon4d(
        "synthesize", "fish", "-o", folder, "--cameras", "rig", "--rig-cameras", 3, "--fps", fps, *SMALL
    )
    assert (code, err) == (0, "")
    return folder, out


def test_a_rig_of_cameras_round_a_creature(fish: tuple[Path, str]) -> None:
    folder, out = fish
    lines = out.splitlines()
    assert lines[0].startswith(f"Rendered {3 * FRAMES + 3} images of 64 x 56 pixels in ")
    assert lines[1] == "The camera moves around the subject at 0 degrees a second on average."
    assert lines[-1] == f"Score a scene on it: recon4d evaluate NAME.r4d --against {folder}"
    assert (folder / "train.mp4").is_file()

    dataset = read_dataset(folder)
    assert dataset.format == "blender"
    assert dataset.warnings == ()
    assert dataset.background == (1.0, 1.0, 1.0)
    cameras = {split: sorted({view.camera_id for view in views}) for split, views in dataset.splits.items()}
    # No kept-out view shares a camera with the training views or with another.
    assert cameras == {"train": ["0", "1", "2"], "val": ["3"], "test": ["4", "5"]}
    for name in "012":
        poses = [view.camera.cam_from_world for view in dataset.split("train") if view.camera_id == name]
        assert len(poses) == FRAMES
        assert all(torch.equal(pose, poses[0]) for pose in poses)
    assert [moment for moment, _ in dataset.mesh_files()] == pytest.approx(dataset.times.tolist())
    assert dataset.meta["seed"] == 0
    assert all(view.load_normal() is not None and view.load_mask() is not None for view in dataset.views)


def truth_scene(dataset: Dataset, path: Path, name: str) -> Path:
    """The creature's own surfels, filmed by the first training camera, saved."""
    train = [view for view in dataset.split("train") if view.camera_id == "0"]
    times = torch.tensor([view.time for view in train], dtype=torch.float64)
    made = creature_field(name, 6000, detail=0.5)
    field = Field(made.canonical, made.ids, made.warp)
    save(Scene(times, [view.camera for view in train], [Layer(name, "object", field)]), path)
    return path


def test_the_creatures_own_surfels_score_well_on_it(fish: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = fish
    scene = truth_scene(read_dataset(folder), tmp_path / "fish.r4d", "fish")
    few = ["--samples", 2000, "--emd-samples", 200, "--track-points", 200]
    code, out, err = recon4d(
        "evaluate", scene, "--against", folder, *few, "--json", tmp_path / "a.json", "--html", tmp_path / "a.html"
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "Images: the test split." in out
    assert "The scene uses the data set's cameras: nothing was aligned." in out
    result = json.loads((tmp_path / "a.json").read_text())
    # Discs cover a bent surface to about their size; splines and skinning follow it to about a tenth of a percent.
    assert result["chamfer_percent"] < 0.3
    assert result["f_score"] > 0.98
    assert result["track_error_percent"] < 0.3
    assert result["delta_5"] == 1
    assert result["normal_error_deg"] < 12
    # Surfels swell the outline by about a pixel, which is much in so small an image, and their light is simpler.
    assert result["psnr"] > 15
    assert result["psnr_masked"] > 12
    assert result["background"] == "white"
    assert result["n_images"] == 2
    # The test cameras are two different ones, so nothing could flicker.
    assert result["flicker"] is None
    assert result["camera_rotation_error_deg"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "cameras"), [("quadruped", "orbit"), ("biped", "handheld"), ("fish", "teleport"), ("jelly", "static")]
)
def test_the_truth_of_every_creature_holds(tmp_path: Path, name: str, cameras: str) -> None:
    folder = tmp_path / name
    quietly(name, "-o", folder, "--cameras", cameras, "--frames", 12, "--val-frames", 0, "--test-frames", 1,
            "--width", 96, "--height", 96, "--detail", 0.3)  # fmt: skip
    truth = check(folder, views=1)
    assert truth.holds, truth
    assert truth.followed > 20


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Fox", ["--action", "Walk"]),
        ("CesiumMan", []),
        ("Knight", ["--action", "Running_A", "--hide", "*Shield*", "--hide", "1H_*", "--hide", "2H_*"]),
    ],
)
def test_the_truth_of_sample_assets_holds(samples_dir: Path, tmp_path: Path, name: str, options: list[str]) -> None:
    folder = tmp_path / name
    quietly(samples_dir / "assets" / f"{name}.glb", "-o", folder, *options, "--frames", 8, "--val-frames", 0,
            "--test-frames", 1, "--width", 120, "--height", 120)  # fmt: skip
    truth = check(folder, views=1)
    assert truth.holds, truth
    assert truth.followed > 20
    assert read_dataset(folder).meta["subject"]["file"] == f"{name}.glb"


def test_a_room_is_cut_away_where_only_the_subject_was_reconstructed(tmp_path: Path) -> None:
    fps = (FRAMES - 1) / creature("fish").duration
    quietly("fish", "-o", tmp_path / "room", "--background", "room", "--cameras", "handheld", "--fps", fps, *SMALL)
    dataset = read_dataset(tmp_path / "room")
    assert dataset.meta["background"] is None
    assert dataset.background is None
    view = dataset.split("test")[0]
    assert view.load_image().shape == (56, 64, 3)
    assert 0 < view.load_mask().mean() < 0.8
    scene = truth_scene(dataset, tmp_path / "fish.r4d", "fish")
    arguments = ["evaluate", scene, "--against", tmp_path / "room", "--protocol", "every4", "--background", "black"]
    assert main([*map(str, arguments), "--json", str(tmp_path / "a.json"), "--quiet"]) == 0
    result = json.loads((tmp_path / "a.json").read_text())
    assert any("cut out by its masks" in note for note in result["notes"])
    assert [frame["time"] for frame in result["frames"]] == pytest.approx([1 / fps, 2 / fps, 3 / fps])
    assert result["background"] == "black"
    assert result["psnr"] > 15


def test_only_a_data_set_is_replaced_and_only_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "mine.txt").write_text("precious")
    assert "expected a new or empty folder, got a folder with files in it" in refused(capsys, "fish", "-o", folder)
    assert "got a folder with other files" in refused(capsys, "fish", "-o", folder, "--overwrite")
    assert (folder / "mine.txt").read_text() == "precious"
    made = tmp_path / "made"
    quietly("fish", "-o", made, *SMALL)
    assert "got a folder with files in it" in refused(capsys, "fish", "-o", made, *SMALL)
    quietly("fish", "-o", made, "--overwrite", *SMALL, "--seed", 5)
    assert read_dataset(made).meta["seed"] == 5


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a refused command prints."""
    assert main(["synthesize", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("recon4d: ")
    return printed.err


@pytest.fixture
def tetrahedron(tmp_path: Path) -> Path:
    """A .glb with two animations."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    faces = np.array([0, 2, 1, 0, 1, 3, 0, 3, 2, 1, 2, 3], np.uint16)
    times, shifts = np.array([0, 1], np.float32), np.array([[0, 0, 0], [1, 0, 0]], np.float32)

    def animation(name: str) -> dict:
        return {
            "name": name,
            "samplers": [{"input": 2, "output": 3}],
            "channels": [{"sampler": 0, "target": {"node": 0, "path": "translation"}}],
        }

    document = {
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "body", "mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "animations": [animation("hop"), animation("slide")],
    }
    path = tmp_path / "four.glb"
    path.write_bytes(build_glb(document, [corners, faces, times, shifts]))
    return path


def test_a_clip_of_a_glb(tetrahedron: Path, tmp_path: Path) -> None:
    quietly(tetrahedron, "-o", tmp_path / "out", "--action", "slide", *SMALL[:10])
    meta = read_dataset(tmp_path / "out").meta
    assert meta["subject"]["action"] == "slide"
    assert meta["settings"]["subject"] == "four.glb"


def test_what_cannot_be_made_is_one_line(tetrahedron: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    said = refused(capsys, "dragon", "-o", out)
    assert f"expected {', '.join(CREATURE_NAMES)}, or a path that ends in .glb, got 'dragon'" in said
    said = refused(capsys, tmp_path / "none.glb", "-o", out)
    assert "none.glb: expected a readable .glb file" in said
    text = tmp_path / "text.glb"
    text.write_text("this is a text and not a scene at all")
    assert "text.glb: header: expected a binary glTF 2.0 file" in refused(capsys, text, "-o", out)
    said = refused(capsys, tetrahedron, "-o", out, "--action", "fly")
    assert "action: expected one of hop, slide, got 'fly'" in said
    said = refused(capsys, tetrahedron, "-o", out, "--hide", "sword")
    assert "expected" in said
    assert "body" in said
    assert "a built-in creature" in refused(capsys, "fish", "-o", out, "--action", "hop")
    assert "frames: expected a whole number" in refused(capsys, "fish", "-o", out, "--frames", 0)
    assert "a file" in refused(capsys, "fish", "-o", text)
    assert "text.glb" in refused(capsys, "fish", "-o", text / "below", *SMALL)
    assert "expected a place for a folder" in refused(capsys, "fish", "-o", "/proc/none/out", *SMALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["four.glb", "text.glb"]


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    with start("synthesize", "fish", "-o", tmp_path / "out", "--frames", 400, "--detail", 0.5) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(".out.*/train/r_*.png")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "recon4d: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_the_commands_defaults_are_the_librarys() -> None:
    from recon4d.cli.app import synthesize
    from recon4d.synthetic import SynthesizeConfig

    own = inspect.signature(synthesize).parameters
    for field in fields(SynthesizeConfig):
        if field.name != "subject":
            assert own["cameras" if field.name == "camera" else field.name].default == field.default, field.name
