"""Stages that are stopped at any frame and begun again: nothing is done twice, and the result is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recon4d.data.learned import learned_depth
from recon4d.data.motion import MaskSettings, find_masks, find_moving, ingest, track_points, unfinished
from recon4d.data.motion.stage import StageCache
from recon4d.data.motion.unfinished import Unfinished
from tests.data.moving_scene import box_room, disc_on_green, sliding_patch, walking_cameras
from tests.data.test_motion_ingest import write_images
from tests.data.test_motion_moving import SETTINGS, solution_of, with_walker
from tests.data.tiny_models import save_depth_anything


class StopError(Exception):
    """What ends a stage in the tests."""


@dataclass
class Stage:
    """A stage to be stopped.

    Attributes:
        run: does the work, with a work folder or None, and a progress callback.
        arrays: what counts of its result.
    """

    run: Callable[..., Any]
    arrays: Callable[[Any], list[np.ndarray]]


def tracks(folder: Path) -> Stage:
    clip = ingest(write_images(folder / "d", sliding_patch(8)[0]))
    return Stage(
        lambda work, progress: track_points(clip, work=work, progress=progress),
        lambda found: [found.positions, found.frames, found.ids],
    )


def moving_subject(folder: Path) -> Stage:
    clip = ingest(write_images(folder / "d", sliding_patch(12)[0]))
    settings = MaskSettings(motion_frames=8)
    return Stage(
        lambda work, progress: find_masks(clip, settings, work=work, progress=progress), lambda found: [found.masks]
    )


def plain_background(folder: Path) -> Stage:
    clip = ingest(write_images(folder / "d", disc_on_green()[0]))
    return Stage(lambda work, progress: find_masks(clip, work=work, progress=progress), lambda found: [found.masks])


def masks_of_some_frames(folder: Path) -> Stage:
    frames, truth, _ = sliding_patch(10)
    given = np.where(truth, 255, 0).astype(np.uint8)
    masked = np.isin(np.arange(10), (2, 7))
    clip = replace(ingest(write_images(folder / "d", frames)), masks=given, masked=masked, key="given")
    return Stage(lambda work, progress: find_masks(clip, work=work, progress=progress), lambda found: [found.masks])


def second_look(folder: Path) -> Stage:
    cameras = walking_cameras(10, degrees=12)
    clip = ingest(write_images(folder / "d", with_walker(box_room(cameras), cameras)[0]))
    solution = solution_of(cameras)
    return Stage(
        lambda work, progress: find_moving(clip, solution, SETTINGS, work=work, progress=progress),
        lambda found: [found.masks],
    )


def depth(folder: Path) -> Stage:
    clip = ingest(write_images(folder / "d", sliding_patch(8)[0]))
    weights = f"depth-anything:{save_depth_anything(folder / 'weights')}"
    return Stage(
        lambda work, progress: learned_depth(clip, weights, work=work, progress=progress),
        lambda found: [np.asarray(found.inverse)],
    )


@pytest.mark.parametrize("make", [tracks, moving_subject, plain_background, masks_of_some_frames, second_look, depth])
def test_a_stage_that_is_stopped_at_every_step(make, tmp_path, monkeypatch):
    stage = make(tmp_path)
    calls: list[tuple[str, int, int]] = []
    whole = stage.arrays(stage.run(None, lambda *call: calls.append(call)))
    monkeypatch.setattr(unfinished, "SECONDS", 0.0)
    work, told, stops = tmp_path / "work", [], 0

    def stop_at_the_second(*call: Any) -> None:
        told.append(call)
        count[0] += 1
        if count[0] == 2:
            raise StopError

    while True:
        count = [0]
        try:
            found = stage.run(work, stop_at_the_second)
        except StopError:
            stops += 1
            assert stops <= len(calls), "the stage does not get on"
            continue
        break
    for array, expected in zip(stage.arrays(found), whole, strict=True):
        np.testing.assert_array_equal(array, expected)
    # Each run does one step that is kept, and one that is lost.
    assert stops >= len(calls) / 2
    assert list(dict.fromkeys(told)) == list(dict.fromkeys(calls))
    assert not list(work.glob("*.npz"))


def test_nothing_is_kept_before_it_is_time_or_without_a_folder(tmp_path, monkeypatch):
    parts = Unfinished(StageCache(tmp_path), "stage-key")
    parts.keep("loop", rows=np.arange(3))
    assert parts.load("loop") == {}
    monkeypatch.setattr(unfinished, "SECONDS", 0.0)
    parts.keep("loop", rows=np.arange(3))
    assert parts.load("loop")["rows"].tolist() == [0, 1, 2]
    nowhere = Unfinished(None, "stage-key")
    nowhere.keep("loop", rows=np.arange(3))
    assert nowhere.load("loop") == {}


def test_a_damaged_file_is_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "SECONDS", 0.0)
    parts = Unfinished(StageCache(tmp_path), "stage-key")
    parts.keep("loop", rows=np.arange(300))
    path = tmp_path / "stage-key.loop.npz"
    path.write_bytes(path.read_bytes()[:200])
    assert parts.load("loop") == {}
