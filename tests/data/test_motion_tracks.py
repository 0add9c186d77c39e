"""Flow and tracks against pictures whose motion is known to a fraction of a pixel."""

from __future__ import annotations

import numpy as np
import pytest

from recon4d.core import InputError
from recon4d.data.motion import FlowSettings, TrackSettings, compute_flow, ingest, track_points
from recon4d.data.motion.flow import DenseFlow, consistent, gray_frame
from recon4d.data.video import write_video
from tests.data.moving_scene import sliding_patch
from tests.data.test_motion_ingest import write_images


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    frames, masks, offsets = sliding_patch(9)
    folder = write_images(tmp_path_factory.mktemp("slide") / "d", frames)
    return ingest(folder), masks, offsets


def test_flow_is_the_true_motion_where_it_is_called_valid(slide):
    clip, masks, offsets = slide
    flow = compute_flow(clip)
    for t in range(len(clip) - 1):
        true = np.where(masks[t][..., None], offsets[t + 1] - offsets[t], 0.0)
        error = np.linalg.norm(flow.forward[t] - true, axis=-1)[flow.forward_valid[t]]
        assert np.median(error) < 0.1
        assert np.percentile(error, 95) < 1.0
        assert flow.forward_valid[t].mean() > 0.9


def test_what_is_covered_later_is_not_called_valid(slide):
    clip, masks, _ = slide
    dense = DenseFlow()
    first, later = gray_frame(clip, 0, 200), gray_frame(clip, 6, 200)
    valid = consistent(dense(first, later), dense(later, first), 1.0)
    covered = masks[6] & ~masks[0]
    assert valid[covered].mean() < 0.4
    assert valid[~masks[6] & ~masks[0]].mean() > 0.8


def test_backward_flow_of_a_reversed_clip_is_forward_flow(slide, tmp_path):
    clip, _, _ = slide
    back = ingest(write_images(tmp_path / "d", clip.frames[::-1][:4]))
    forward, backward = compute_flow(clip), compute_flow(back)
    np.testing.assert_array_equal(backward.backward[::-1], forward.forward[-3:])


def test_flow_computed_small_is_scaled_up(slide):
    clip, masks, _ = slide
    flow = compute_flow(clip, FlowSettings(max_side=100))
    inside = masks[3] & masks[4]
    np.testing.assert_allclose(np.median(flow.forward[3][inside], axis=0), [3.0, 1.0], atol=0.15)


def test_flow_is_cached(slide, tmp_path):
    clip, _, _ = slide
    calls = []
    first = compute_flow(clip, work=tmp_path, progress=lambda *call: calls.append(call))
    assert calls[-1] == ("flow", 8, 8)
    calls.clear()
    again = compute_flow(clip, work=tmp_path, progress=lambda *call: calls.append(call))
    assert calls == []
    np.testing.assert_array_equal(first.forward, again.forward)
    np.testing.assert_array_equal(first.backward_valid, compute_flow(clip).backward_valid)


def test_flow_that_leaves_the_image_is_not_consistent():
    away = np.full((20, 20, 2), 5.0, np.float32)
    assert consistent(away, -away, 1.0)[:, :15].mean() > 0.5
    assert not consistent(away, -away, 1.0)[:, 15:].any()
    assert not consistent(away, away, 1.0).any()


def test_tracks_stay_on_their_point(slide):
    clip, masks, offsets = slide
    tracks = track_points(clip)
    positions, visible = tracks.dense()
    assert tracks.count > 300
    drift = []
    for frame in range(len(clip) - 1):
        first = visible[:, frame] & ~visible[:, :frame].any(1)
        for point in np.flatnonzero(first):
            last = np.flatnonzero(visible[point])[-1]
            start, end = positions[point, frame], positions[point, last]
            on_disc = masks[frame][int(start[1]), int(start[0])]
            true = offsets[last] - offsets[frame] if on_disc else 0
            drift.append(np.linalg.norm(end - start - true))
    assert np.median(drift) < 0.15
    assert np.mean(np.array(drift) < 1.0) > 0.93


def test_tracks_keep_inside_the_mask(slide):
    clip, masks, _ = slide
    tracks = track_points(clip, masks)
    assert tracks.count > 30
    for frame in range(len(clip)):
        positions, _ = tracks.at(frame)
        at = np.clip((positions - 0.5).round().astype(int), 0, [199, 149])
        assert masks[frame][at[:, 1], at[:, 0]].all()
    same = track_points(clip, masks.astype(np.uint8) * 255)
    np.testing.assert_array_equal(tracks.positions, same.positions)


def test_births_keep_their_distance_and_their_number(slide):
    clip, _, _ = slide
    settings = TrackSettings(cell=20, most_alive=40, min_frames=1)
    tracks = track_points(clip, settings=settings)
    positions, _ = tracks.at(0)
    cells = (positions - 0.5) // 20
    assert len(np.unique(cells, axis=0)) == len(positions)
    assert all(len(tracks.at(frame)[1]) <= 40 for frame in range(len(clip)))


def test_a_covered_point_ends(slide):
    clip, masks, _ = slide
    positions, visible = track_points(clip).dense()
    start = positions[:, 0]
    on_wall = visible[:, 0] & ~masks[0][np.nan_to_num(start[:, 1]).astype(int), np.nan_to_num(start[:, 0]).astype(int)]
    inner = masks[6] & masks[7] & masks[8]
    covered = on_wall & inner[np.nan_to_num(start[:, 1]).astype(int), np.nan_to_num(start[:, 0]).astype(int)]
    assert covered.sum() > 10
    stayed = visible[:, 8] & (np.linalg.norm(positions[:, 8] - start, axis=1) < 2)
    assert (covered & stayed).sum() <= 0.1 * covered.sum()


def test_structure_of_tracks(slide, tmp_path):
    clip, _, _ = slide
    tracks = track_points(clip, work=tmp_path)
    again = track_points(clip, work=tmp_path)
    for name in ("positions", "frames", "ids"):
        np.testing.assert_array_equal(getattr(tracks, name), getattr(again, name))
    assert (tracks.lengths() >= 3).all()
    here, there, ids = tracks.common(0, 4)
    positions, _ = tracks.dense()
    np.testing.assert_array_equal(here, positions[ids, 0])
    np.testing.assert_array_equal(there, positions[ids, 4])
    few = tracks.select(tracks.lengths() >= 9)
    assert 0 < few.count < tracks.count
    np.testing.assert_array_equal(few.dense()[0], positions[tracks.lengths() >= 9])
    assert few.key != tracks.key


def test_nothing_to_follow_gives_no_tracks(tmp_path):
    flat = np.full((4, 40, 60, 3), 128, np.uint8)
    flat[:, :10] = np.array([0, 40, 80, 120])[:, None, None, None]
    write_video(tmp_path / "flat.mp4", flat, 10)
    tracks = track_points(ingest(tmp_path / "flat.mp4"), np.zeros((4, 40, 60), bool))
    assert tracks.count == 0
    assert tracks.dense()[0].shape == (0, 4, 2)


def test_masks_of_the_wrong_size(slide):
    with pytest.raises(InputError, match="9 masks of 200x150"):
        track_points(slide[0], np.zeros((9, 10, 10), bool))
