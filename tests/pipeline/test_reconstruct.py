"""The whole job on small clips: what is written, what it says, and that stopping it changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import recon4d
from recon4d.core import InputError
from recon4d.data import write_png
from recon4d.data.formats.nerfstudio import write_nerfstudio
from recon4d.data.motion import unfinished
from recon4d.data.view import View
from recon4d.pipeline import Fitting, Noted, StageDone, StageProgress, StageStarted, Warned, reconstruct, run
from recon4d.pipeline.events import STAGES
from recon4d.pipeline.work import work_folder
from recon4d.scene import load
from tests.pipeline import tiny


def content(scene: Path) -> str:
    """Digest of the scene: of scene.json, which names the digests of all arrays."""
    return hashlib.sha256((scene / "scene.json").read_bytes()).hexdigest()


def in_a_process(source: Path, output: Path, *rest: str) -> subprocess.Popen[bytes]:
    root = Path(recon4d.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, tiny.__file__, str(source), str(output), *rest],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


@pytest.fixture(scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory, one_thread):
    """A finished job of 22 frames, with all it told."""
    folder = tmp_path_factory.mktemp("made")
    told: list = []
    source = tiny.clip(folder / "clip <b>.mp4", 22)
    result = reconstruct(source, folder / "out.r4d", tiny.settings(), config=tiny.config(), listen=told.append)
    return source, result, told


def test_a_job_leaves_the_scene_with_its_report_and_nothing_else(made):
    source, result, _ = made
    assert sorted(path.name for path in source.parent.iterdir()) == sorted([source.name, "out.r4d"])
    names = {path.name for path in result.scene.iterdir()}
    assert {"scene.json", "report.html", "metrics.json"} <= names
    assert all(re.fullmatch(r"(surfels|warp)-\w+\.safetensors", n) for n in names if n.endswith(".safetensors"))
    assert len(names) == 5
    scene = load(result.scene)
    assert [layer.name for layer in scene.layers] == ["object"]
    assert len(scene.frame_times) == len(scene.cameras) == 22


def test_provenance_says_what_was_done(made):
    source, result, _ = made
    provenance = load(result.scene).provenance
    assert provenance["made_by"] == "recon4d reconstruct"
    assert provenance["input"]["name"] == source.name
    assert len(provenance["input"]["sha256"]) == 64
    assert provenance["settings"]["cameras"] == "static"
    assert provenance["fit"]["iterations"] == 24
    assert provenance["versions"]["recon4d"] == recon4d.__version__
    assert [stage["stage"] for stage in provenance["stages"]] == [
        "ingest",
        "masks",
        "cameras",
        "tracks",
        "fit",
        "evaluate",
    ]
    assert provenance["scores"] == result.scores["scores"]
    assert provenance["warnings"] == list(result.warnings)


def test_kept_out_frames_are_those_of_the_rule(made):
    _, result, _ = made
    frames = result.scores["frames"]
    assert [frame["frame"] for frame in frames if frame["kept_out"]] == [5, 15]
    assert result.scores["measured_on"] == "kept-out frames"
    kept = [frame["psnr_masked"] for frame in frames if frame["kept_out"]]
    assert result.scores["kept_out"]["psnr_masked"] == pytest.approx(np.mean(kept))
    assert result.scores == json.loads(result.metrics.read_text())
    assert result.scores["peak_memory_mib"] > 50
    assert set(result.scores["seconds"]) >= {"ingest", "masks", "fit", "evaluate"}


def test_what_is_told(made):
    _, result, told = made
    usual = [stage for stage in STAGES if stage not in ("second look", "subject")]
    assert [e.stage for e in told if isinstance(e, StageStarted)] == usual
    assert [e.stage for e in told if isinstance(e, StageDone)] == usual
    steps = [e.snapshot.step for e in told if isinstance(e, Fitting)]
    assert steps == [4, 8, 12, 16, 20, 24]
    assert tuple(e.text for e in told if isinstance(e, Warned)) == result.warnings
    assert any("one side only" in text for text in result.warnings)
    assert all(0 <= e.done <= e.total for e in told if isinstance(e, StageProgress))


def test_the_report_stands_alone_and_escapes_names(made):
    source, result, _ = made
    page = result.report.read_text()
    assert source.name not in page  # its < and > are escaped
    assert not re.search(r"<(script|link|iframe|object|embed)\b", page)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(address.startswith("data:image/jpeg;base64,") for address in sources)
    assert not re.search(r"url\(|@import|https?://", page)
    for text in result.warnings:
        assert text.rstrip(".")[1:] in page
    assert page.count('<span class="badge">kept out</span>') == 2
    assert page.count("<figcaption>") >= 10


def test_the_same_job_gives_the_same_scene(made, tmp_path):
    source, result, _ = made
    again = reconstruct(source, tmp_path / "again.r4d", tiny.settings(), config=tiny.config())
    assert content(again.scene) == content(result.scene)


class StopError(Exception):
    """What ends a run in the tests."""


@pytest.mark.parametrize(
    ("at", "part", "after"), [("masks", "masks", 4), ("tracks", "tracks", 5), ("evaluate", "frames", 3)]
)
def test_a_job_that_is_stopped_within_a_stage_does_not_begin_it_anew(made, tmp_path, monkeypatch, at, part, after):
    source, result, _ = made
    monkeypatch.setattr(unfinished, "SECONDS", 0.0)
    monkeypatch.setattr(run, "_TELL_SECONDS", 0.0)

    def stop(event) -> None:
        if isinstance(event, StageProgress) and (event.stage, event.part, event.done) == (at, part, after):
            raise StopError

    output = tmp_path / "out.r4d"
    with pytest.raises(StopError):
        reconstruct(source, output, tiny.settings(), config=tiny.config(), listen=stop)
    told: list = []
    resumed = reconstruct(source, output, tiny.settings(), config=tiny.config(), resume=True, listen=told.append)
    assert content(resumed.scene) == content(result.scene)
    assert resumed.scores["frames"] == result.scores["frames"]
    # What was told last was not kept yet.
    assert next(e.done for e in told if isinstance(e, StageProgress) and (e.stage, e.part) == (at, part)) == after


@pytest.mark.parametrize("at", ["masks", "fit", "evaluate", "write"])
def test_a_stopped_job_goes_on_to_the_same_scene(made, tmp_path, at):
    source, result, _ = made
    config = tiny.config(checkpoint_seconds=0.0)

    def stop(event) -> None:
        late = isinstance(event, Fitting) and event.snapshot.step == 12
        if late if at == "fit" else isinstance(event, StageStarted) and event.stage == at:
            raise StopError

    output = tmp_path / "out.r4d"
    with pytest.raises(StopError):
        reconstruct(source, output, tiny.settings(), config=config, listen=stop)
    assert not output.exists()
    told: list = []
    resumed = reconstruct(source, output, tiny.settings(), config=config, resume=True, listen=told.append)
    assert content(resumed.scene) == content(result.scene)
    assert [e.text for e in told if isinstance(e, Noted)] == [
        f"going on in the stage {at!r} where the earlier run stopped"
    ]
    steps = [e.snapshot.step for e in told if isinstance(e, Fitting)]
    assert steps == {"fit": [12, 16, 20, 24], "masks": [4, 8, 12, 16, 20, 24]}.get(at, [])
    assert [path.name for path in tmp_path.iterdir()] == ["out.r4d"]


def test_an_unfinished_job_asks_what_to_do(made, tmp_path):
    source, *_ = made
    output = tmp_path / "out.r4d"

    def stop(event) -> None:
        if isinstance(event, StageStarted) and event.stage == "fit":
            raise StopError

    with pytest.raises(StopError):
        reconstruct(source, output, tiny.settings(), config=tiny.config(), listen=stop)
    with pytest.raises(InputError, match=r"got an unfinished run, left in the stage 'fit'. Fix: go on with --resume"):
        reconstruct(source, output, tiny.settings(), config=tiny.config())
    with pytest.raises(InputError, match=r"--resume: .*got another --seed \(0, now 3\)"):
        reconstruct(source, output, tiny.settings(seed=3), config=tiny.config(), resume=True)
    other = tiny.clip(tmp_path / "other.mp4", 6)
    with pytest.raises(InputError, match="got another input"):
        reconstruct(other, output, tiny.settings(), config=tiny.config(), resume=True)
    anew = reconstruct(source, output, tiny.settings(), config=tiny.config(), overwrite=True)
    assert anew.scene.is_dir()


def test_resuming_what_was_never_begun_begins_it(made, tmp_path):
    source, result, _ = made
    told: list = []
    output = tmp_path / "out.r4d"
    fresh = reconstruct(source, output, tiny.settings(), config=tiny.config(), resume=True, listen=told.append)
    assert content(fresh.scene) == content(result.scene)
    assert told[0] == Noted("there is no unfinished run to go on with: starting from the beginning")


def test_a_kept_work_folder_saves_the_stages_that_are_shared(made, tmp_path):
    source, *_ = made
    output = tmp_path / "out.r4d"
    reconstruct(source, output, tiny.settings(), config=tiny.config(), keep_work=True)
    kept = {path.name for path in work_folder(output).iterdir()}
    assert {name.partition("-")[0] for name in kept if "-" in name} == {"ingest", "masks", "cameras", "tracks"}
    before = {path: path.stat().st_mtime_ns for path in work_folder(output).glob("masks-*")}
    other = reconstruct(
        source, output, tiny.settings(), config=tiny.config(iterations=8), overwrite=True, keep_work=True
    )
    assert {path: path.stat().st_mtime_ns for path in work_folder(output).glob("masks-*")} == before
    assert len(other.scores["curve"]) == 2


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_job_that_is_killed_at_any_moment_resumes_to_the_same_scene(made, tmp_path):
    source, result, _ = made
    output = tmp_path / "out.r4d"
    chance = np.random.default_rng(int.from_bytes(b"kill", "big"))
    kills, seen_fit = 0, False
    for attempt in range(12):
        process = in_a_process(source, output, *(["--resume"] if attempt else []))
        job = work_folder(output) / "job.json"
        deadline = time.monotonic() + 120
        while process.poll() is None and not job.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        if kills < 2:
            wait = chance.uniform(0.05, 1.0)
            if kills == 1:  # Once surely in the middle of the fit.
                while process.poll() is None and not (work_folder(output) / "fit.checkpoint").exists():
                    time.sleep(0.01)
                seen_fit, wait = process.poll() is None, 0.05
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
        if process.returncode == -signal.SIGKILL:
            kills += 1
            assert not output.exists() or (output / "metrics.json").exists()
            continue
        assert process.returncode == 0, errors.decode()
        break
    assert kills == 2
    assert seen_fit
    assert content(output) == content(result.scene)
    assert [path.name for path in tmp_path.iterdir()] == ["out.r4d"]


def test_a_run_that_was_killed_after_its_result_took_its_place_is_finished(made, tmp_path, monkeypatch):
    from recon4d.pipeline.work import Work

    source, *_ = made
    output = tmp_path / "out.r4d"

    def stop(self, *, keep: bool) -> None:
        raise StopError

    with monkeypatch.context() as patch:
        patch.setattr(Work, "finish", stop)
        with pytest.raises(StopError):
            reconstruct(source, output, tiny.settings(), config=tiny.config())
    assert output.is_dir()
    told: list = []
    found = reconstruct(source, output, tiny.settings(), config=tiny.config(), resume=True, listen=told.append)
    assert told == [Noted("the earlier run had finished already")]
    assert found.scores["measured_on"] == "kept-out frames"
    assert not work_folder(output).exists()


def test_resuming_never_takes_another_job_for_the_one_that_has_finished(made, tmp_path):
    source, *_ = made
    output = tmp_path / "out.r4d"
    config = tiny.config(iterations=4)
    first = content(reconstruct(source, output, tiny.settings(), config=config, keep_work=True).scene)
    kept = {path.name for path in work_folder(output).iterdir()}
    other = tiny.clip(tmp_path / "other.mp4", 6)
    with pytest.raises(InputError, match=r"--resume: .*got another input, --seed \(0, now 5\)"):
        reconstruct(other, output, tiny.settings(seed=5), config=config, resume=True)
    assert content(output) == first
    told: list = []
    reconstruct(source, output, tiny.settings(), config=config, resume=True, listen=told.append)
    assert told == [Noted("the earlier run had finished already")]
    assert {path.name for path in work_folder(output).iterdir()} == kept
    replaced = reconstruct(source, output, tiny.settings(seed=5), config=config, resume=True, overwrite=True)
    assert content(replaced.scene) != first


def test_a_failure_leaves_an_old_result_alone(made, tmp_path):
    source, *_ = made
    output = tmp_path / "out.r4d"
    reconstruct(source, output, tiny.settings(), config=tiny.config())
    before = content(output)

    def stop(event) -> None:
        if isinstance(event, StageStarted) and event.stage == "write":
            raise StopError

    with pytest.raises(StopError):
        reconstruct(source, output, tiny.settings(seed=1), config=tiny.config(), overwrite=True, listen=stop)
    assert content(output) == before
    replaced = reconstruct(source, output, tiny.settings(seed=1), config=tiny.config(), overwrite=True, resume=True)
    assert content(replaced.scene) != before


def test_every_fourth_frame_is_fitted(made, tmp_path):
    source, *_ = made
    result = reconstruct(source, tmp_path / "o.r4d", tiny.settings(train_every=4), config=tiny.config(iterations=8))
    kept = [frame["frame"] for frame in result.scores["frames"] if frame["kept_out"]]
    assert kept == [index for index in range(22) if index % 4]


def test_cameras_of_a_data_set_are_used_as_they_are(tmp_path, one_thread):
    images, cameras = tiny.frames(12)
    folder = tmp_path / "posed"
    tiny.write_images(folder / "images", images)
    tiny.write_images(folder / "masks", tiny.masks_of(images))
    views = [
        View(
            f"images/{i:05d}", "train", folder / "images" / f"{i:05d}.png", time=i / tiny.FPS,
            mask_path=folder / "masks" / f"{i:05d}.png", camera=camera.to(torch.float64),
        )
        for i, camera in enumerate(cameras)
    ]  # fmt: skip
    write_nerfstudio(folder, views)
    settings = tiny.settings(cameras="auto")
    result = reconstruct(folder, tmp_path / "o.r4d", settings, config=tiny.config(iterations=60))
    scene = load(result.scene)
    for camera, given in zip(scene.cameras, cameras, strict=True):
        torch.testing.assert_close(camera.cam_from_world, given.cam_from_world, atol=1e-5, rtol=0)
    stages = {stage["stage"]: stage for stage in scene.provenance["stages"]}
    assert stages["cameras"]["chosen"] == "from the file"
    assert stages["masks"]["chosen"] == "given: 1 object"
    # From the body's own sides: it was seen over 120 degrees.
    assert 90 < result.scores["coverage"]["azimuth_degrees"] < 150
    assert any(re.match(r"the subject was seen from \d+ degrees only", text) for text in result.warnings)


def test_several_objects_become_layers(tmp_path, one_thread):
    images, _ = tiny.frames(8)
    labels = []
    for mask in tiny.masks_of(images):
        half = np.arange(mask.shape[1]) < mask.shape[1] // 2
        labels.append(np.where(mask > 0, np.where(half, 1, 2), 0).astype(np.uint8))
    source = tiny.write_images(tmp_path / "frames", images)
    masks = tiny.write_images(tmp_path / "labels", labels)
    result = reconstruct(
        source,
        tmp_path / "o.r4d",
        tiny.settings(masks=str(masks), background="static"),
        config=tiny.config(iterations=8),
    )
    assert [layer.name for layer in load(result.scene).layers] == ["object", "object-2", "background"]


def test_the_whole_picture_as_one_still_scene(tmp_path, one_thread):
    images, _ = tiny.frames(8)
    source = tiny.write_images(tmp_path / "frames", images)
    result = reconstruct(source, tmp_path / "o.r4d", tiny.settings(masks="none"), config=tiny.config(iterations=8))
    assert [layer.kind for layer in load(result.scene).layers] == ["background"]
    assert result.scores["coverage"] == {}


def test_a_video_with_a_hole_is_kept_and_told(tmp_path, one_thread):
    path = tiny.clip(tmp_path / "clip.mp4", 24)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = bytes(600)
    path.write_bytes(data)
    result = reconstruct(path, tmp_path / "o.r4d", tiny.settings(), config=tiny.config(iterations=8))
    assert any("decoded" in text or "damaged" in text for text in result.warnings)


def test_frames_of_one_colour_with_a_mask_from_elsewhere(tmp_path, one_thread):
    """Nothing to follow and nothing to see: still a scene, with warnings, and no crash."""
    images = [np.full((32, 32, 3), 120 + 2 * index, np.uint8) for index in range(6)]
    source = tiny.write_images(tmp_path / "frames", images)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    (tmp_path / "masks").mkdir()
    write_png(tmp_path / "masks" / "00000.png", mask)
    settings = tiny.settings(masks=str(tmp_path / "masks"))
    result = reconstruct(source, tmp_path / "o.r4d", settings, config=tiny.config(iterations=8))
    assert any("could be followed" in text for text in result.warnings)
