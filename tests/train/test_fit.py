"""The whole fit: it learns, resumes to the same bits, survives kills, and refuses what it cannot do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recon4d.core import InputError
from recon4d.data import Dataset
from recon4d.evaluate import evaluate_scene
from recon4d.scene import load, save
from recon4d.train import Capture, FitConfig, Snapshot, fit
from tests.train.scenes import StopError, assert_equal, bits, stop_at

pytestmark = pytest.mark.usefixtures("quick_disk")


def test_it_learns_and_its_scene_can_be_kept(dataset: Dataset, tmp_path: Path):
    config = FitConfig(
        iterations=120,
        surfels=1000,
        initial_surfels=500,
        bones=6,
        bones_at_first=6,
        levels=((0.0, 2), (0.3, 1)),
        hull_voxels=32,
        density_every=20,
        snapshot_every=40,
    )
    seen: list[Snapshot] = []
    fitted = fit(dataset, config, callback=seen.append)
    scene = fitted.scene
    assert fitted.warnings == []
    assert fitted.curve == [(s.step, s.loss, s.psnr, s.surfels) for s in seen]
    assert [snapshot.step for snapshot in seen] == [40, 80, 120]
    assert seen[-1].psnr > seen[0].psnr + 1
    # The loss itself gains terms and sharper images on the way, so it may rise.
    assert all(0 < snapshot.loss < 1 for snapshot in seen)
    assert seen[-1].surfels == len(scene.layer("object").field) <= 1000
    held_out = evaluate_scene(scene, dataset, protocol="dnerf")
    started = evaluate_scene(fit(dataset, replace(config, iterations=1)).scene, dataset, protocol="dnerf")
    assert held_out.psnr is not None
    assert started.psnr is not None
    # Against the coloured hull, seen from places between those fitted to.
    assert held_out.psnr > started.psnr + 1.0
    assert held_out.ssim is not None
    assert started.ssim is not None
    assert held_out.ssim > started.ssim + 0.03
    save(scene, tmp_path / "fitted.r4d")
    assert_equal(load(tmp_path / "fitted.r4d"), scene, cameras=False)
    assert len(scene.cameras) == len(scene.frame_times) == 24
    assert scene.provenance["settings"]["iterations"] == 120
    assert [layer.name for layer in scene.layers] == ["object"]


def test_resumed_is_unbroken(dataset: Dataset, quick: FitConfig, tmp_path: Path):
    unbroken = fit(dataset, quick)
    file = tmp_path / "state.safetensors"
    # Stopped before, between and after relocations and the change of size, one after the other.
    for step in (5, 10, 15):
        with pytest.raises(StopError):
            fit(dataset, quick, checkpoint=file, resume=True, callback=stop_at(step))
        assert file.exists()
    steps: list[int] = []
    resumed = fit(dataset, quick, checkpoint=file, resume=True, callback=lambda snapshot: steps.append(snapshot.step))
    assert_equal(resumed.scene, unbroken.scene)
    assert resumed.curve == unbroken.curve
    assert steps == [15, 20]
    # The state is kept by whoever keeps the scene, and goes straight to the same one.
    assert list(tmp_path.iterdir()) == [file]
    again = fit(dataset, quick, checkpoint=file, resume=True, callback=lambda snapshot: steps.append(snapshot.step))
    assert_equal(again.scene, unbroken.scene)
    assert again.curve == unbroken.curve
    assert steps == [15, 20]


def test_the_seed_decides(dataset: Dataset, quick: FitConfig):
    short = replace(quick, iterations=8)
    first, again, other = (fit(dataset, replace(short, seed=seed)).scene for seed in (3, 3, 4))
    assert_equal(first, again)
    assert not torch.equal(bits(first)["object.centers"][:50], bits(other)["object.centers"][:50])


def test_without_resume_a_fit_starts_anew(dataset: Dataset, quick: FitConfig, tmp_path: Path):
    file = tmp_path / "state.safetensors"
    with pytest.raises(StopError):
        fit(dataset, quick, checkpoint=file, callback=stop_at(10))
    steps: list[int] = []
    fit(dataset, quick, checkpoint=file, callback=lambda snapshot: steps.append(snapshot.step))
    assert steps == [5, 10, 15, 20]


def test_checkpoints_of_other_fits_and_damaged_ones(dataset: Dataset, quick: FitConfig, tmp_path: Path):
    file = tmp_path / "state.safetensors"
    with pytest.raises(StopError):
        fit(dataset, quick, checkpoint=file, callback=stop_at(10))
    with pytest.raises(InputError, match="got one of other surfels"):
        fit(dataset, replace(quick, surfels=501), checkpoint=file, resume=True)
    fewer = replace(dataset, views=dataset.views[1:])
    with pytest.raises(InputError, match="got one of other frames"):
        fit(fewer, quick, checkpoint=file, resume=True)
    # How often it is written and shown does not matter.
    fit_on = replace(quick, snapshot_every=20, checkpoint_seconds=9.0)
    whole = file.read_bytes()
    fit(dataset, fit_on, checkpoint=file, resume=True)
    without_numbers = whole.replace(b"canonical_time", b"canonical_tome")
    assert without_numbers != whole
    for damaged in (b"", whole[:100], whole[: len(whole) // 2], b"\xff" * 64, without_numbers):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=r"state\.safetensors: expected an undamaged checkpoint"):
            fit(dataset, quick, checkpoint=file, resume=True)
        assert file.read_bytes() == damaged


def test_what_it_asks_for(dataset: Dataset, quick: FitConfig, tmp_path: Path):
    with pytest.raises(InputError, match="a checkpoint to resume from"):
        fit(dataset, quick, resume=True)
    with pytest.raises(InputError, match="at least one image to fit"):
        fit(replace(dataset, views=dataset.split("test")), quick)
    with pytest.raises(InputError, match="folder that exists"):
        fit(dataset, quick, checkpoint=tmp_path / "nowhere" / "state.safetensors")


def test_a_data_set_is_fitted_as_its_capture(dataset: Dataset, capture: Capture, quick: FitConfig):
    short = replace(quick, iterations=4)
    assert_equal(fit(dataset, short).scene, fit(capture, short).scene)


def test_colours_without_directions_can_be_kept(dataset: Dataset, quick: FitConfig, tmp_path: Path):
    config = replace(quick, sh_degree=0, bones=1, bones_at_first=1, iterations=6, snapshot_every=3)
    file = tmp_path / "state.safetensors"
    unbroken = fit(dataset, config)
    with pytest.raises(StopError):
        fit(dataset, config, checkpoint=file, callback=stop_at(6))
    assert_equal(fit(dataset, config, checkpoint=file, resume=True).scene, unbroken.scene)
