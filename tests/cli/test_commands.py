"""What the commands print."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import recon4d
from recon4d import Camera, Surfels
from recon4d.cli import demo, main
from recon4d.core.spline import SE3Spline
from recon4d.data import read_video
from recon4d.field import Field, IdentityWarp, Refined, ResidualWarp, RigidWarp
from recon4d.render import available_backends
from recon4d.scene import Layer, Scene, content_hash, load, save
from tests.pipeline import tiny


def make_scene(*, frames: int = 3) -> Scene:
    surfels = Surfels(
        centers=torch.tensor([[-1.0, 0.0, 2.0], [0.5, 3.0, 1.0]]),
        rotations_wxyz=torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(2, 1),
        scales=torch.full((2, 2), 0.1),
        opacities=torch.full((2,), 0.5),
        sh=torch.zeros(2, 4, 3),
    )
    field = Field(surfels, torch.arange(2), IdentityWarp())
    return Scene(
        frame_times=torch.arange(frames, dtype=torch.float64) / 24,
        cameras=[Camera.look_at([0.0, -5.0, 0.0], width=64, height=48)] * frames,
        layers=[Layer("two [dots]", "object", field)],
        metres_per_unit=0.5,
        provenance={"seed": 7, "settings": {"rate": 0.5}},
    )


def test_backends_names_each_with_its_state(capsys):
    assert main(["backends"]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    for name, (usable, detail) in available_backends().items():
        assert lines[name].split()[1] == ("yes" if usable else "no")
        assert lines[name].rstrip().endswith(detail)
    assert lines["recon4d"] == (
        f"recon4d {recon4d.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads"
    )


def test_info_describes_the_scene(tmp_path, capsys):
    path = tmp_path / "dots.r4d"
    save(make_scene(), path)
    assert main(["info", str(path)]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:6] == [
        str(path),
        "3 frames from 0 s to 0.0833333 s, 24 per second on average",
        "cameras: 3, 64 x 48 pixels, vertical field of view 45 degrees",
        "seen from 0 degrees around, -13 to -13 degrees above the horizon",
        "scale: one unit is 0.5 m",
        f"content: {content_hash(path)}",
    ]
    size = sum(file.stat().st_size for file in path.iterdir())
    assert lines[6] == f"on disk: {size / 1e6:.1f} MB in {path}"
    assert lines[8].split() == ["layer", "kind", "surfels", "colours", "warp", "from", "to"]
    assert [cell.strip() for cell in lines[9].split("  ") if cell] == [
        "two [dots]",
        "object",
        "2",
        "SH, 4 coefficients",
        "identity",
        "-1 0 1",
        "0.5 3 2",
    ]
    assert lines[10:] == ["", "provenance", "  seed: 7", "  settings", "    rate: 0.5"]


def test_info_names_what_is_refined_and_what_is_displaced(tmp_path, capsys):
    scene = make_scene()
    field = scene.layers[0].field
    path = SE3Spline.constant(torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.zeros(3))
    warp = ResidualWarp(RigidWarp(path), torch.zeros(4, 2, 2, 2, 3), -torch.ones(3), torch.ones(3), 0.0, 1.0)
    learned = Field(field.canonical, field.ids, warp, Refined.like(field.canonical))
    save(dataclasses.replace(scene, layers=[Layer("dots", "object", learned)]), tmp_path / "dots.r4d")
    assert main(["info", str(tmp_path / "dots.r4d")]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("dots")]
    cells = [cell.strip() for cell in row.split("  ") if cell.strip()]
    assert cells == ["dots", "object", "2, refined", "SH, 4 coefficients", "rigid + residual", "-1 0 1", "0.5 3 2"]


def test_info_shows_metrics_and_the_report_of_a_reconstruction(tmp_path, capsys):
    path = tmp_path / "dots.r4d"
    save(make_scene(), path)
    (path / "metrics.json").write_text(
        '{"psnr": 27.25, "frames": [{"psnr": 1}, {"psnr": 2}], "lpips": null, "warnings": ["one", "two"]}'
    )
    (path / "report.html").write_text("<html></html>")
    assert main(["info", str(path)]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert f"report: {path / 'report.html'}" in lines
    at = lines.index("metrics")
    assert lines[at + 1 : at + 6] == ["  psnr: 27.25", "  frames: 2 entries", "  warnings", "    - one", "    - two"]
    (path / "metrics.json").write_text("no JSON")
    assert main(["info", str(path)]) == 0
    assert "  metrics.json: cannot be read:" in capsys.readouterr().out


def test_info_of_a_still_scene(tmp_path, capsys):
    save(make_scene(frames=1), tmp_path / "still.r4d")
    assert main(["info", str(tmp_path / "still.r4d")]) == 0
    assert "1 frame at 0 s\n" in capsys.readouterr().out


def test_info_of_what_is_no_scene_is_one_line(tmp_path, capsys):
    assert main(["info", str(tmp_path / "missing.r4d")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "missing.r4d" in printed.err


def test_demo_does_the_real_job_and_names_its_files(tmp_path, capsys, monkeypatch):
    small = tiny.config(iterations=8)
    whole = demo.make_scene
    monkeypatch.setattr(demo, "make_scene", lambda *a, **k: whole(*a, **(k | {"config": small})))
    monkeypatch.setattr(demo, "TURNTABLE_SIDE", 48)
    folder = tmp_path / "new" / "folder"
    assert main(["demo", "-o", str(folder), "--creature", "fish", "--size", "64", "--frames", "10"]) == 0
    out = capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == ["fish-turntable.mp4", "fish.mp4", "fish.r4d"]
    for path in (*folder.iterdir(), folder / "fish.r4d" / "report.html"):
        assert str(path) in out
    assert read_video(folder / "fish.mp4").frames.shape == (10, 64, 64, 3)
    turntable = read_video(folder / "fish-turntable.mp4").frames
    assert turntable.shape[1:] == (48, 96, 3)
    left, right = turntable[0][:, :48].astype(int), turntable[0][:, 48:].astype(int)
    assert abs(left - right).max() > 40
    scene = load(folder / "fish.r4d")
    assert len(scene.frame_times) == 10
    assert scene.provenance["made_by"] == "recon4d reconstruct"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--creature", "unicorn"], "--creature"), (["--size", "2"], "--size"), (["--frames", "1"], "--frames")],
)
def test_demo_with_a_wrong_option_is_one_line_and_makes_nothing(tmp_path, capsys, arguments, named):
    folder = tmp_path / "demo"
    assert main(["demo", "-o", str(folder), *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"recon4d: {named}: expected")
    assert printed.err.count("\n") == 1
    assert not folder.exists()
