"""Tracks against motion: nothing for the true one, gradients for motion and cameras alone, pairs of frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from recon4d.core import Camera
from recon4d.data.motion import Tracks
from recon4d.scene import merge_surfels
from recon4d.train import Capture, FitConfig
from recon4d.train.correspondences import Pair, draw_pair, motion_error
from recon4d.train.fit import start
from recon4d.train.frames import load_frames
from recon4d.train.objective import Objective
from recon4d.train.step import train_step
from tests.train import room

DELTA = 0.3


def pair_of(tracks: Tracks, here: int, there: int) -> Pair:
    seen, wanted, _ = tracks.common(here, there)
    return Pair(there, torch.from_numpy(seen), torch.from_numpy(wanted))


def true_places(times: tuple[float, float]) -> Tensor:
    return torch.stack([merge_surfels([*room.balls_at(time), room.WALLS]).centers for time in times])


def error(two: Capture, here: int, there: int, places: Tensor | None = None, *, there_camera: Camera | None = None):
    assert two.tracks is not None
    surfels = merge_surfels([*room.balls_at(two.times[here]), room.WALLS])
    places = true_places((two.times[here], two.times[there])) if places is None else places
    pair = pair_of(two.tracks, here, there)
    other = there_camera or two.cameras[there]
    return motion_error(pair, surfels, places, two.cameras[here], other, two.cameras[here], delta=DELTA)


@pytest.mark.parametrize(("here", "there"), [(3, 4), (8, 6), (5, 9)])
def test_true_motion_costs_next_to_nothing(two: Capture, here: int, there: int):
    true = float(error(two, here, there))
    # The balls are taken to stand still; the cameras move all the same.
    frozen = true_places((two.times[here], two.times[here]))
    wrong = float(error(two, here, there, frozen))
    turned = float(error(two, here, there, there_camera=room.disturbed(two.cameras[there], 2.0, 1)))
    assert true < 0.35 * wrong
    assert true < 0.2 * turned


def test_the_same_moment_does_not_move(two: Capture):
    assert two.tracks is not None
    assert float(error(two, 4, 4)) < 1e-5


def test_the_size_that_is_drawn_does_not_matter(two: Capture):
    assert two.tracks is not None
    surfels = merge_surfels([*room.balls_at(two.times[4]), room.WALLS])
    places = true_places((two.times[4], two.times[4]))
    pair = pair_of(two.tracks, 4, 6)
    found = [
        float(
            motion_error(
                pair, surfels, places, two.cameras[4].resized(size, size), two.cameras[6].resized(size, size),
                two.cameras[4], delta=DELTA,
            )
        )
        for size in (40, 80)
    ]  # fmt: skip
    assert found[0] == pytest.approx(found[1], rel=0.2)


def test_gradients_lead_back_to_the_true_place(two: Capture):
    places = true_places((two.times[5], two.times[8]))
    places[1, :500] += torch.tensor([0.0, 0.0, 0.15])
    places.requires_grad_()
    error(two, 5, 8, places).backward()
    assert places.grad is not None
    # Down is where it came from, for the ball that was moved.
    assert float(places.grad[1, :500, 2].sum()) > 0
    assert bool(places.grad.isfinite().all())


def test_points_that_nothing_covers_do_not_count(two: Capture):
    assert two.tracks is not None
    surfels = room.balls_at(two.times[4])[0]
    places = torch.stack([one[0].centers for one in (room.balls_at(two.times[4]), room.balls_at(two.times[6]))])
    corners = torch.tensor([[1.0, 1.0], [39.0, 1.0]])
    views = two.cameras[4], two.cameras[6]
    cost = motion_error(Pair(6, corners, corners + 7), surfels, places, *views, two.cameras[4], delta=DELTA)
    assert float(cost) == 0.0


def test_pairs_are_of_fitted_frames_with_points_in_common(two: Capture):
    assert two.tracks is not None
    indices = [i for i in range(len(two)) if two.fitted[i]]
    gaps = set()
    for seed in range(60):
        pair = draw_pair(two.tracks, 6, indices, (1, 2, 4), np.random.default_rng(seed))
        assert pair is not None
        assert pair.there in indices
        assert pair.there != 6
        gaps.add(indices.index(pair.there) - indices.index(6))
        common = {tuple(row) for row in np.concatenate(two.tracks.common(6, pair.there)[:2], 1).tolist()}
        assert {tuple(row) for row in torch.cat([pair.here_pixels, pair.there_pixels], 1).tolist()} <= common
        assert 12 <= len(pair.here_pixels) <= 800
    assert gaps == {-4, -2, -1, 1, 2, 4}
    first, again = (draw_pair(two.tracks, 6, indices, (1, 2, 4), np.random.default_rng(5)) for _ in range(2))
    assert first is not None
    assert again is not None
    assert first.there == again.there
    assert torch.equal(first.here_pixels, again.here_pixels)


def test_without_points_in_common_there_is_no_pair(two: Capture):
    assert two.tracks is not None
    few = two.tracks.select(np.arange(two.tracks.count) < 5)
    indices = list(range(len(two)))
    assert draw_pair(few, 6, indices, (1, 2), np.random.default_rng(0)) is None
    assert draw_pair(two.tracks, 6, [6], (1, 2), np.random.default_rng(0)) is None


def test_tracks_teach_motion_and_cameras_but_no_shape(two: Capture, quick: FitConfig):
    """The same step with and without tracks: shapes and colours get the same gradients to the bit."""
    uncertain = replace(two, refine_cameras=True)
    found = []
    for capture in (uncertain, replace(uncertain, tracks=None)):
        frames = load_frames(capture, [2])
        state = start(capture, frames, quick)
        seen: dict[str, Tensor] = {}

        def keep(done: float, radii: Tensor, seen: dict[str, Tensor] = seen, state=state) -> None:
            for name, value in state.model.parameters().items():
                seen[name] = torch.zeros_like(value) if value.grad is None else value.grad.clone()

        state.optimizer.step = keep  # type: ignore[method-assign]
        train_step(state, capture, frames, Objective(quick), quick)
        found.append(seen)
    differ = {name for name, gradient in found[0].items() if not torch.equal(gradient, found[1][name])}
    shapes = ("centers", "rotations_wxyz", "log_scales", "opacity_logits", "sh_base", "sh_rest")
    assert not [name for name in differ if name.endswith(shapes) and "bone" not in name and "root" not in name]
    wanted = {f"object.{owner}_{kind}" for owner in ("root", "bone") for kind in ("rotations", "translations")}
    wanted |= {name.replace("object.", "object-2.") for name in wanted}
    assert wanted | {"cameras.camera_turns", "cameras.camera_shifts"} <= differ
