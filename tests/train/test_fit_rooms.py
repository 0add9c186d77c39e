"""Fits of two objects before a background: what is learned, kept out, corrected, resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recon4d.core import InputError
from recon4d.losses import color_error
from recon4d.render import rasterize
from recon4d.scene import Scene, load, save
from recon4d.train import Capture, FitConfig, Rates, Weights, fit
from recon4d.train.fit import start
from recon4d.train.frames import load_frames
from recon4d.train.objective import Objective
from recon4d.train.step import train_step
from tests.train import room
from tests.train.scenes import StopError, assert_equal, bits, stop_at

pytestmark = pytest.mark.usefixtures("quick_disk")


def held_out_error(scene: Scene, capture: Capture) -> float:
    """Mean absolute difference in the frames that are kept out, in their true cameras."""
    errors = []
    for index, used in enumerate(capture.fitted):
        if not used:
            drawn = rasterize(scene.at(capture.times[index]), capture.cameras[index])
            errors.append(float(color_error(drawn.color, torch.from_numpy(capture.images[index]).float() / 255)))
    return sum(errors) / len(errors)


def learning(**changes: Any) -> FitConfig:
    """Enough steps to learn something."""
    settings: dict[str, Any] = {
        "iterations": 80,
        "surfels": 600,
        "initial_surfels": 300,
        "background_surfels": 900,
        "bones": 3,
        "bones_at_first": 3,
        "levels": ((0.0, 2), (0.4, 1)),
        "hull_voxels": 20,
        "density_every": 20,
        "snapshot_every": 40,
    }
    return FitConfig(**(settings | changes))


def test_two_objects_and_a_background_are_learned_together(two: Capture, tmp_path: Path):
    fitted = fit(two, learning())
    scene = fitted.scene
    assert [(layer.name, layer.kind) for layer in scene.layers] == [
        ("object", "object"),
        ("object-2", "object"),
        ("background", "background"),
    ]
    assert len(scene.cameras) == len(fitted.cameras) == len(two)
    assert torch.equal(scene.frame_times, torch.tensor(two.times, dtype=torch.float64))
    first = fit(two, learning(iterations=1)).scene
    assert held_out_error(scene, two) < 0.9 * held_out_error(first, two)
    # Each object is where its own mask is, and goes its own way.
    for number in range(2):
        field = scene.layers[number].field
        start, end = (field.at(time).centers.mean(0) for time in (0.0, 1.0))
        wanted = room.ball(number, 1.0) - room.ball(number, 0.0)
        assert float((end - start)[0]) == pytest.approx(float(wanted[0]), abs=0.15)
    save(scene, tmp_path / "room.r4d")
    assert_equal(load(tmp_path / "room.r4d"), scene, cameras=False)


def test_frames_that_are_kept_out_are_never_used(two: Capture, quick: FitConfig):
    """Nonsense in their place changes nothing, with tracks through them and uncertain cameras."""
    uncertain = replace(two, refine_cameras=True)
    chance = np.random.default_rng(0)

    def spoiled(arrays: Any) -> list[np.ndarray]:
        return [
            array if used else chance.integers(0, 256, array.shape, np.uint8)
            for array, used in zip(arrays, two.fitted, strict=True)
        ]

    assert two.tracks is not None
    positions = two.tracks.positions.copy()
    positions[~np.array(two.fitted)[two.tracks.frames]] = 3.0
    other = replace(
        uncertain,
        images=spoiled(two.images),
        masks=[spoiled(masks) for masks in two.masks],
        tracks=replace(two.tracks, positions=positions),
    )
    # Without corrections, the poses of kept-out frames change nothing either.
    turned = tuple(
        camera if used else room.disturbed(camera, 20.0, 3)
        for camera, used in zip(two.cameras, two.fitted, strict=True)
    )
    config = replace(quick, iterations=8, density_every=2)
    for first, second in ((uncertain, other), (two, replace(two, cameras=turned))):
        one, again = (bits(fit(capture, config).scene) for capture in (first, second))
        assert one.keys() == again.keys()
        for name, tensor in one.items():
            if not name.startswith("cameras.") or first is uncertain:
                assert torch.equal(tensor, again[name]), name


CASES = {
    "static": {},
    "camera": {"background": "camera"},
    "refined": {"refine_cameras": True},
    "refined before a camera's background": {"refine_cameras": True, "background": "camera"},
    "no background": {"background": "none"},
    "no object": {"masks": [], "tracks": None},
}


@pytest.mark.parametrize("name", list(CASES))
def test_resumed_is_unbroken(two: Capture, quick: FitConfig, tmp_path: Path, name: str):
    capture = replace(two, **CASES[name])  # type: ignore[arg-type]
    config = replace(quick, iterations=9, snapshot_every=3, density_every=3, blend="dual_quaternion")
    unbroken = fit(capture, config)
    file = tmp_path / "state.safetensors"
    for step in (3, 6):
        with pytest.raises(StopError):
            fit(capture, config, checkpoint=file, resume=True, callback=stop_at(step))
    resumed = fit(capture, config, checkpoint=file, resume=True)
    assert_equal(resumed.scene, unbroken.scene)
    assert resumed.curve == unbroken.curve
    assert resumed.warnings == unbroken.warnings
    for one, other in zip(resumed.cameras, unbroken.cameras, strict=True):
        assert torch.equal(one.cam_from_world, other.cam_from_world)
    save(resumed.scene, tmp_path / "scene.r4d")
    assert_equal(load(tmp_path / "scene.r4d"), unbroken.scene, cameras=False)


def test_a_checkpoint_of_other_tracks_or_cameras_is_refused(two: Capture, quick: FitConfig, tmp_path: Path):
    file = tmp_path / "state.safetensors"
    config = replace(quick, iterations=2)
    fit(two, config, checkpoint=file)
    assert two.tracks is not None
    later = replace(two.tracks, frames=np.maximum(two.tracks.frames, 1))
    for other in (replace(two, refine_cameras=True), replace(two, tracks=None), replace(two, tracks=later)):
        with pytest.raises(InputError, match="got one of other frames"):
            fit(other, config, checkpoint=file, resume=True)


def test_disturbed_cameras_get_better(two: Capture):
    """The poses are off by 1.5 degrees each, in directions of their own."""
    wrong = tuple(room.disturbed(camera, 1.5, 10 + i) for i, camera in enumerate(two.cameras))
    disturbed = replace(two, cameras=wrong, refine_cameras=True)
    # Each is off in a direction of its own, so corrections may be unlike their neighbours'.
    settings = {"rates": Rates(camera_rotations=2e-3, camera_translations=1e-3), "weights": Weights(cameras=1.0)}
    fitted = fit(disturbed, learning(iterations=110, cameras_from=0.05, **settings))
    fitted_frames = [i for i, used in enumerate(two.fitted) if used]
    before, after = (
        sum(room.degrees_between(views[i], two.cameras[i]) for i in fitted_frames) / len(fitted_frames)
        for views in (wrong, fitted.cameras)
    )
    assert before == pytest.approx(1.5, abs=1e-3)
    assert after < 0.9 * before
    for found, scene_camera in zip(fitted.cameras, fitted.scene.cameras, strict=True):
        assert torch.equal(found.cam_from_world, scene_camera.cam_from_world)
        assert torch.equal(found.K, fitted.cameras[0].K)


def test_a_background_before_uncertain_cameras_is_carried_by_the_corrected_ones(two: Capture, quick: FitConfig):
    """What is drawn while fitting is what the saved scene shows."""
    capture = replace(two, background="camera", refine_cameras=True)
    rates = replace(quick.rates, camera_rotations=0.02, camera_translations=0.02)
    fitted = fit(capture, replace(quick, rates=rates, cameras_from=0.0))
    field = fitted.scene.layer("background").field
    for index in (0, 6, 14):
        view = fitted.cameras[index]
        centers = field.at(two.times[index]).centers
        in_cam = centers @ view.cam_from_world[:3, :3].T + view.cam_from_world[:3, 3]
        torch.testing.assert_close(in_cam, field.canonical.centers, atol=0.02, rtol=0)


def test_what_of_an_object_hides_behind_the_background_goes(two: Capture, quick: FitConfig):
    """A surfel beyond the wall is in no image; drawn alone, the object shows it where no mask is."""
    frames = load_frames(two, [2])

    def opacity_after(alone: float) -> float:
        config = replace(quick, weights=replace(Weights(), alone=alone), iterations=40, density_every=1000)
        state = start(two, frames, config)
        part = state.model.parts[0]
        middle = frames.levels[1][0].camera
        behind = middle.center_in_world + 2.5 * room.ROOM * middle.cam_from_world[2, :3]
        with torch.no_grad():
            part.parameters["centers"][0] = behind
            part.parameters["log_scales"][0] = 0.0
            part.parameters["opacity_logits"][0] = 0.0
        for _ in range(40):
            train_step(state, two, frames, Objective(config), config)
        return float(part.parameters["opacity_logits"][0].sigmoid())

    kept, faded = opacity_after(0.0), opacity_after(0.5)
    assert faded < kept - 0.1
