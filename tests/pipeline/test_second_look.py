"""What the second look makes of what it finds: which cameras and masks are gone on with, and what is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon4d.core import Camera
from recon4d.data.motion import CameraHealth, CameraSolution, Clip, MaskHealth, Masks, StageCache
from recon4d.pipeline import ReconstructSettings, second_look
from recon4d.pipeline.source import Source

NONE = MaskHealth("none", "parallax", 0.0, (0.0, 0.0), 1.0, 0, 0.0, 0.3, 0.1, False, ("parallax",))
FOUND = replace(NONE, method="moving", reason="it moves", coverage=0.2, confident=True, warnings=())


CLIP = Clip(
    np.zeros((2, 6, 8, 3), np.uint8), np.arange(2.0), None, None, np.zeros(2, bool), np.arange(2), np.arange(2),
    np.zeros(2, np.float32), np.arange(2), None, ("a", "a"), (0.0, 0.0, 0.0), (8, 6), None, 1.0, "k", "", (),
)  # fmt: skip


def solution(error: float, share: float = 1.0, chosen: str = "scene") -> CameraSolution:
    health = CameraHealth("auto", chosen, "", (), None, "solved", share, 30.0, True, ())
    camera = Camera.look_at((0.0, -4.0, 0.0), fov_y_degrees=50.0, width=8, height=6)
    return CameraSolution(
        (camera,) * 2, np.ones(2, bool), np.zeros((3, 3)), np.arange(3, dtype=np.int32), np.full(3, error), health, "k"
    )


@pytest.mark.parametrize(("coverage", "error", "share", "kept"), [
    (0.2, 0.5, 1.0, True), (0.2, 0.9, 1.0, False), (0.2, 0.5, 0.8, False), (0.05, 0.5, 1.0, False),
])  # fmt: skip
def test_cameras_without_the_subject_are_kept_where_they_fit_better(
    monkeypatch, tmp_path, coverage, error, share, kept
):
    first, without = solution(0.7), solution(error, share)
    masks = np.full((2, 6, 8), 255, np.uint8)
    looked = []

    def find(clip, cameras, **_):
        looked.append(cameras)
        return Masks(masks, replace(FOUND, coverage=coverage), "m")

    monkeypatch.setattr(second_look, "find_moving", find)
    monkeypatch.setattr(second_look, "solve_cameras", lambda *_, **__: without)
    result = second_look.look_again(CLIP, NONE, first, ReconstructSettings(), StageCache(tmp_path), lambda *_: None)
    assert (result.solution is without) == kept
    assert len(looked) == 1 + kept
    assert len(result.objects) == 1
    assert result.record.stage == second_look.STAGE
    assert ("cameras without the subject" in dict(result.record.facts)) == (coverage > 0.1)


def test_cameras_in_doubt_are_solved_again_without_what_moves(monkeypatch, tmp_path):
    sure, doubtful = solution(0.5), solution(0.9)
    doubtful = replace(doubtful, health=replace(doubtful.health, confident=False))
    small = replace(FOUND, coverage=0.03)
    monkeypatch.setattr(second_look, "find_moving", lambda *_, **__: Masks(np.zeros((2, 6, 8), np.uint8), small, "m"))
    monkeypatch.setattr(second_look, "solve_cameras", lambda *_, **__: sure)
    for first, kept in ((doubtful, True), (solution(0.9), False)):
        result = second_look.look_again(CLIP, NONE, first, ReconstructSettings(), StageCache(tmp_path), lambda *_: None)
        assert (result.solution is sure) == kept


@pytest.mark.parametrize(("sure", "found"), [(True, True), (True, False), (False, False)])
def test_cameras_that_were_spoiled_are_solved_without_what_seems_to_move(monkeypatch, tmp_path, sure, found):
    doubtful, without = solution(0.9), solution(0.5)
    doubtful = replace(doubtful, health=replace(doubtful.health, confident=False))
    if not sure:
        without = replace(without, health=replace(without.health, confident=False))
    masks, guess = np.full((2, 6, 8), 255, np.uint8), np.full((2, 6, 8), 200, np.uint8)
    asked = []

    def find(clip, cameras, settings=None, **_):
        asked.append((cameras is without, bool(settings and settings.rough)))
        if settings and settings.rough:
            return Masks(guess, FOUND, "m")
        seen = cameras is without and found
        return Masks(masks, replace(FOUND, coverage=0.05), "m") if seen else Masks(None, NONE, "m")

    def solve(clip, given, wanted, **_):
        assert given is guess
        assert wanted.mode == "scene"
        return without

    monkeypatch.setattr(second_look, "find_moving", find)
    monkeypatch.setattr(second_look, "solve_cameras", solve)
    result = second_look.look_again(CLIP, NONE, doubtful, ReconstructSettings(), StageCache(tmp_path), lambda *_: None)
    assert asked[:2] == [(False, False), (False, True)]
    assert len(asked) == 2 + sure
    assert (result.solution is without) == sure
    assert len(result.objects) == (sure and found)


def test_nothing_found_leaves_all_as_it_was(monkeypatch, tmp_path):
    first = solution(0.7)
    monkeypatch.setattr(second_look, "find_moving", lambda *_, **__: Masks(None, replace(NONE, reason="still"), "m"))
    result = second_look.look_again(CLIP, NONE, first, ReconstructSettings(), StageCache(tmp_path), lambda *_: None)
    assert result.objects == ()
    assert result.health is NONE
    assert result.solution is first
    assert result.record.why == "still"


def test_when_it_is_worth_it():
    clip, film = CLIP, Source.__new__(Source)
    object.__setattr__(film, "masks", None)
    object.__setattr__(film, "film", True)
    ask = ReconstructSettings()
    assert second_look.is_worth_it(clip, (), film, ask, solution(0.7))
    doubtful = replace(solution(0.9), health=replace(solution(0.9).health, confident=False))
    assert second_look.is_worth_it(clip, (), film, ask, doubtful)
    assert not second_look.is_worth_it(clip, (), film, replace(ask, masks="none"), solution(0.7))
    assert not second_look.is_worth_it(clip, (np.zeros((2, 6, 8), np.uint8),), film, ask, solution(0.7))
    assert not second_look.is_worth_it(clip, (), film, ask, solution(0.7, chosen="rotation"))
