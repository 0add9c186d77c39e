"""The pieces of the pipeline on their own: masks that are given, frames that are kept out, coverage, the page."""

from __future__ import annotations

import re
import weakref
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import Camera, InputError, SE3Spline
from recon4d.data import read_image, write_png, write_video
from recon4d.data.motion import BackgroundMotion, CameraHealth, CameraSolution, Clip, MaskHealth, Tracks
from recon4d.data.view import View
from recon4d.field import Field, RigidWarp
from recon4d.pipeline import ReconstructSettings, assemble, plots, resources
from recon4d.pipeline.coverage import find_coverage
from recon4d.pipeline.given_masks import GivenMasks
from recon4d.pipeline.measure import Measured
from recon4d.pipeline.page import Report, page
from recon4d.pipeline.prepare import merge_tracks
from recon4d.pipeline.run import Run
from recon4d.pipeline.settings import MEASURED
from recon4d.pipeline.split import split_frames
from recon4d.pipeline.stages import StageRecord
from recon4d.scene import Layer, Scene
from recon4d.train import Capture, FitConfig
from tests.pipeline import tiny


def views_of(folder, count, *, video=False):
    return [
        View(f"clip/{i:06d}" if video else f"img{i}", "train", folder / f"img{i}.png", frame_index=i if video else None)
        for i in range(count)
    ]


def mask(value=255, size=(8, 6)):
    pixels = np.zeros(size[::-1], np.uint8)
    pixels[2:4, 2:5] = value
    return pixels


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["00000.png", "00001.png", "00003.png"], [0, 1, None, 3]),
        (["frame_0001.png", "frame_0002.png", "frame_0003.png", "frame_0004.png"], [0, 1, 2, 3]),
        (["a.png", "b.png", "c.png", "d.png"], [0, 1, 2, 3]),
    ],
)
def test_masks_of_a_video_are_matched_by_number_else_in_order(tmp_path, names, expected):
    for name in names:
        write_png(tmp_path / name, mask())
    found = GivenMasks.find(tmp_path, views_of(tmp_path, 4, video=True))
    listed = sorted(names)
    matched = [None if p is None else listed.index(p.name) for p in found.paths]
    assert [None if m is None else e for m, e in zip(matched, expected, strict=True)] == expected
    assert sum(m is not None for m in matched) == len(names)


def test_masks_of_images_are_matched_by_name(tmp_path):
    (tmp_path / "m").mkdir()
    for name in ("img2.png", "img0.png"):
        write_png(tmp_path / "m" / name, mask())
    found = GivenMasks.find(tmp_path / "m", views_of(tmp_path, 3))
    assert [p and p.name for p in found.paths] == ["img0.png", None, "img2.png"]


def test_labels_are_objects_and_soft_edges_are_not(tmp_path):
    labels = np.zeros((60, 80), np.uint8)
    labels[5:30, 5:30], labels[30:50, 40:70] = 38, 75
    soft = np.zeros((60, 80), np.uint8)
    soft[10:50, 10:60] = 255
    soft[10:50, 8:10], soft[10:50, 60:62] = 90, 170
    for name, pixels in (("labels", labels), ("soft", soft)):
        (tmp_path / name).mkdir()
        write_png(tmp_path / name / "0.png", pixels)
    frames = np.array([0])
    two, masked = GivenMasks.find(tmp_path / "labels", views_of(tmp_path, 1, video=True)).load(frames, 1, (80, 60))
    assert [int((one == 255).sum()) for one in two] == [625, 600]
    assert masked.tolist() == [True]
    (one,), _ = GivenMasks.find(tmp_path / "soft", views_of(tmp_path, 1, video=True)).load(frames, 1, (80, 60))
    np.testing.assert_array_equal(one[0], soft)


def of_labels(folder, count):
    """An image of so many squares, each with a label of its own."""
    labels = np.zeros((60, 200), np.uint8)
    for number in range(count):
        labels[5:30, 10 * number + 1 : 10 * number + 9] = number + 1
    folder.mkdir()
    write_png(folder / "0.png", labels)
    return GivenMasks.find(folder, views_of(folder, 1, video=True))


def test_more_labels_than_objects_can_be_are_refused_by_number(tmp_path):
    most = of_labels(tmp_path / "twelve", 12)
    assert most.count() == len(most.load(np.array([0]), 1, (200, 60))[0]) == 12
    more = of_labels(tmp_path / "more", 14)
    for ask in (more.count, lambda: more.load(np.array([0]), 1, (200, 60))):
        with pytest.raises(InputError, match=r"more: expected at most 12 objects, got 14 labels\. Fix: join"):
            ask()


def test_masks_are_held_at_the_size_of_the_frames_only(tmp_path, monkeypatch):
    for number in range(6):
        write_png(tmp_path / f"{number}.png", mask())
    held, most = weakref.WeakSet(), [0]

    class Pixels(np.ndarray):
        __hash__ = object.__hash__

    def read(path):
        pixels = read_image(path).view(Pixels)
        held.add(pixels)
        most[0] = max(most[0], len(held))
        return pixels

    monkeypatch.setattr("recon4d.pipeline.given_masks.read_image", read)
    GivenMasks.find(tmp_path, views_of(tmp_path, 6, video=True)).load(np.arange(6), 6, (4, 3))
    assert most[0] <= 2


def test_palette_images_are_labels(tmp_path):
    from PIL import Image

    index = np.zeros((40, 40), np.uint8)
    index[:10, :10], index[20:, 20:] = 1, 2
    image = Image.fromarray(index, mode="P")
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    image.save(tmp_path / "00000.png")
    objects, _ = GivenMasks.find(tmp_path, views_of(tmp_path, 1, video=True)).load(np.array([0]), 1, (40, 40))
    assert sorted(int((one == 255).sum()) for one in objects) == [100, 400]


def test_folders_are_objects_and_missing_frames_are_known(tmp_path):
    for name, numbers in (("cat", (0, 2)), ("dog", (0,))):
        (tmp_path / name).mkdir()
        for number in numbers:
            write_png(tmp_path / name / f"{number}.png", mask())
    found = GivenMasks.find(tmp_path, views_of(tmp_path, 3, video=True))
    objects, masked = found.load(np.arange(3), 3, (8, 6))
    assert len(objects) == 2
    assert masked.tolist() == [True, False, True]
    assert [[int(m.max()) for m in one] for one in objects] == [[255, 0, 255], [255, 0, 0]]


def test_a_video_of_masks(tmp_path):
    pixels = np.zeros((2, 32, 32, 3), np.uint8)
    pixels[:, 8:24, 8:24] = 255
    write_video(tmp_path / "m.mp4", pixels, 10.0)
    (one,), masked = GivenMasks.find(tmp_path / "m.mp4", views_of(tmp_path, 2, video=True)).load(
        np.arange(2), 2, (32, 32)
    )
    assert masked.all()
    assert (one == 255).mean() == pytest.approx(0.25, abs=0.02)


@settings(deadline=None, max_examples=60)
@given(count=st.integers(2, 400), keep=st.sampled_from(["auto", "none", 2, 3, 10]), every=st.sampled_from([None, 2, 4]))
def test_every_frame_is_fitted_or_measured(count, keep, every):
    wanted = ReconstructSettings(keep_out="auto" if every else keep, train_every=every)
    if isinstance(keep, int) and not every and count <= keep // 2:
        return
    split = split_frames(film(count), wanted, posed=True, has_test=False)
    fitted, measured = np.array(split.fitted), np.array(split.measured)
    assert fitted.any()
    assert not (fitted & measured).any()
    if every:
        assert np.flatnonzero(fitted).tolist() == list(range(0, count, every))
        assert measured.sum() == min(MEASURED, count - fitted.sum())
        return
    assert (fitted | measured).all()
    if keep == "auto":
        assert np.flatnonzero(measured).tolist() == (list(range(5, count, 10)) if count >= 20 else [])


def film(count: int, **changes) -> Clip:
    """A clip of nothing that moves evenly."""
    motion = np.append(np.ones(count - 1), 0).astype(np.float32)
    clip = Clip(
        np.zeros((count, 4, 6, 3), np.uint8), np.arange(count) / 30, None, None, np.zeros(count, bool),
        np.arange(count), np.arange(count), motion, np.arange(count), None, ("0",) * count, (0.0, 0.0, 0.0), (6, 4),
        None, 30.0, "key", "", (),
    )  # fmt: skip
    return replace(clip, **changes)


def test_test_images_spare_the_frames():
    assert all(split_frames(film(100), ReconstructSettings(), posed=True, has_test=True).fitted)


def test_long_clips_are_thinned_for_the_fit_alone():
    split = split_frames(film(400), ReconstructSettings(preset="draft"), posed=False, has_test=False)
    used = np.flatnonzero(split.used)
    assert len(used) == 120
    assert (used[0], used[-1]) == (0, 399)
    assert np.diff(used).max() - np.diff(used).min() <= 1
    assert np.flatnonzero(np.array(split.measured)[used]).tolist() == list(range(5, 120, 10))
    assert split.rule == "every 10th of the 120 frames that were chosen evenly in motion is kept out of the fit"


def test_the_frames_thinned_out_for_the_fit_are_those_without_a_mask():
    masked = np.arange(400) % 4 == 2
    marked = film(400, masks=np.zeros((400, 4, 6), np.uint8), masked=masked)
    split = split_frames(marked, ReconstructSettings(preset="draft"), posed=False, has_test=False)
    assert masked[np.array(split.used)].mean() > 0.8


def test_a_protocol_counts_the_frames_of_the_clip():
    # Every second frame repeats the one before, and the clip was thinned to every third of what is left.
    clip = film(100, source_frames=6 * np.arange(100), ranks=3 * np.arange(100))
    split = split_frames(clip, ReconstructSettings(train_every=4), posed=False, has_test=False)
    assert np.flatnonzero(split.fitted).tolist() == list(range(0, 100, 4))
    assert (np.array(split.fitted) != split.measured).all()


def test_a_protocol_measures_some_of_many_frames():
    split = split_frames(film(463), ReconstructSettings(train_every=4, preset="draft"), posed=False, has_test=False)
    assert np.flatnonzero(split.fitted).tolist() == list(range(0, 463, 4))
    measured = np.flatnonzero(split.measured)
    assert len(measured) == MEASURED
    assert (measured % 4 != 0).all()
    assert (measured[0], measured[-1]) == (1, 462)
    assert np.diff(measured).max() <= 6
    assert "100 of them" in split.rule


@pytest.mark.parametrize(("posed", "asked", "fitted", "followed"), [
    (False, None, 120, 480), (False, 50, 50, 200), (False, 700, 700, 700), (True, 50, 50, 50),
])  # fmt: skip
def test_motion_is_followed_in_more_frames_than_are_fitted(posed, asked, fitted, followed):
    wanted = ReconstructSettings(preset="draft", max_frames=asked)
    assert wanted.frame_limit(posed=posed) == fitted
    assert wanted.motion_limit(posed=posed) == followed


@pytest.mark.parametrize(
    ("chosen", "still", "objects", "expected"),
    [
        ("object", True, 1, "camera"),
        ("object", False, 1, "none"),
        ("scene", False, 1, "static"),
        ("static", True, 1, "static"),
        ("given", None, 1, "static"),
        ("scene", False, 0, "static"),
    ],
)
@pytest.mark.parametrize("plain", [False, True])
def test_what_becomes_of_the_background(chosen, still, objects, expected, plain):
    chance = np.random.default_rng(0)
    shape = (3, 32, 32, 3)
    frames = np.full(shape, 180, np.uint8) if plain else chance.integers(0, 255, shape).astype(np.uint8)
    ones = np.ones(3, bool)
    clip = Clip(
        frames, np.arange(3.0), None, None, ones, np.arange(3), np.arange(3), np.zeros(3, np.float32), np.arange(3),
        None, ("0",) * 3, (0.0, 0.0, 0.0), (32, 32), None, 1.0, "key", "", (),
    )  # fmt: skip
    motion = None if still is None else BackgroundMotion(1.0, 0.0 if still else 5.0, 1.0, False, still)
    camera = CameraHealth("auto", chosen, "", (), motion, "solved", 1.0, 90.0, True, ())
    views = (Camera.look_at([0.0, -1.0, 0.0], [0.0, 0.0, 0.0], width=32, height=32, dtype=torch.float64),) * 3
    empty = (np.zeros((0, 3)), np.zeros(0, np.int32), np.zeros(0))
    solution = CameraSolution(views, ones, *empty, camera, "key")
    masks = MaskHealth("given", "", 0.2, (0.1, 0.3), 1.0, 0, 0.0, None, None, True, ())
    found, why = assemble.choose_background(ReconstructSettings(), clip, masks, solution, objects)
    assert found == ("none" if plain and objects else expected)
    assert why


def test_tracks_are_joined_in_order():
    def part(ids, frames, at):
        return Tracks(
            np.full((len(ids), 2), at, np.float32), np.array(frames, np.int32), np.array(ids, np.int32), 2, 4, "k"
        )

    joined = merge_tracks([part([0, 1, 0], [0, 0, 2], 1.0), part([0, 0, 1], [0, 1, 2], 2.0)])
    assert joined.count == 4
    assert joined.frames.tolist() == [0, 0, 0, 1, 2, 2]
    assert joined.ids.tolist() == [0, 1, 2, 2, 0, 3]
    assert joined.positions[:, 0].tolist() == [1, 1, 2, 2, 1, 2]


def around(degrees: float, count: int, *, turning: bool) -> tuple[Scene, Capture, list[Camera]]:
    """A body seen from all around: by a camera that moves, or as it turns itself before one that does not."""
    body = tiny.potato(200)
    times = [float(i) for i in range(count)]
    angles = torch.linspace(0, degrees, count + 1, dtype=torch.float64)[:-1].deg2rad()
    zero = torch.zeros_like(angles)
    sign = -1.0 if turning else 0.0
    turns = torch.stack([(sign * angles / 2).cos(), zero, zero, (sign * angles / 2).sin()], 1)
    path = SE3Spline.fit(
        torch.tensor(times, dtype=torch.float64), turns, torch.zeros(count, 3, dtype=torch.float64), step=1.0
    )
    path = SE3Spline(path.rotations_wxyz.float(), path.translations.float(), path.start, path.step)
    eyes = [[4 * float(a.cos()), 4 * float(a.sin()), 0.5] if not turning else [4.0, 0.0, 0.5] for a in angles]
    cameras = [Camera.look_at(eye, [0.0, 0.0, 0.0], width=16, height=16) for eye in eyes]
    scene = Scene(
        torch.tensor(times, dtype=torch.float64),
        cameras,
        [Layer("object", "object", Field(body, torch.arange(200), RigidWarp(path)))],
    )
    image = np.zeros((16, 16, 3), np.uint8)
    capture = Capture([image] * count, [[image[..., 0]] * count], tuple(times), tuple(cameras), (True,) * count)
    return scene, capture, cameras


@pytest.mark.parametrize("turning", [False, True])
@pytest.mark.parametrize(("degrees", "seen"), [(360.0, 360.0), (90.0, 81.0)])
def test_coverage_turns_with_the_subject(turning, degrees, seen):
    scene, capture, cameras = around(degrees, 20 if degrees == 360 else 10, turning=turning)
    coverage = find_coverage(scene, capture, cameras)
    assert coverage is not None
    assert coverage.azimuth_degrees == pytest.approx(seen, abs=5)
    assert coverage.counts.sum() == len(capture)
    assert (coverage.warning() is None) == (degrees == 360)
    # At the middle time: the view of that frame's camera is sure, the one from the opposite side is not.
    frame = capture.times.index(coverage.time)
    toward = cameras[frame].center_in_world.double().numpy()
    toward = toward / np.linalg.norm(toward)
    assert coverage.at(toward) == pytest.approx(1.0)
    assert coverage.at(toward * [-1, -1, 1]) == pytest.approx(1.0 if degrees == 360 else 0.0, abs=1e-6)
    assert coverage.at(np.array([0.0, 0.0, -1.0])) == 0.0


def test_needs_grow_with_the_job():
    config = FitConfig()
    base = resources.estimate(100, (640, 480), config)
    for other in (
        resources.estimate(200, (640, 480), config),
        resources.estimate(100, (1280, 720), config),
        resources.estimate(100, (640, 480), FitConfig(surfels=90_000)),
        resources.estimate(100, (640, 480), config, objects=3),
        resources.estimate(100, (640, 480), config, depth=True),
    ):
        assert other.memory > base.memory
        assert other.disk > base.disk
    assert base.memory < 4 << 30
    assert resources.estimate(300, (640, 480), config).memory < 3 * base.memory


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    free = resources.available_memory()
    assert free is None or free > 0
    monkeypatch.setattr(resources, "_control_group", lambda: 123)
    assert resources.available_memory() == 123


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in ("meta", "img", "br", "path", "line", "circle", "rect", "polyline", "html", "main"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in ("html", "main", "line", "circle", "rect", "polyline"):
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_escapes_every_text():
    nasty = "<script>alert(1)</script> & \"quotes\" 'too'"
    record = StageRecord("masks", nasty, nasty, ((nasty, nasty),), (nasty,), False, ((nasty,), (nasty,)))
    report = Report(
        nasty, ((nasty, nasty),), (nasty,), [], [], None, [(1, 0.5, 20.0, 10), (2, 0.4, 21.0, 12)],
        Measured({}, {"psnr": 20.0}, (), nasty, nasty, None), np.zeros((3, 3)), np.eye(3), np.array([0.0, 0.0, 1.0]),
        [False] * 3, [record], {"masks": 1.0}, ((nasty, nasty),),
    )  # fmt: skip
    text = page(report)
    parsed = _Tags()
    parsed.feed(text)
    assert "script" not in parsed.tags
    assert parsed.open == []
    assert parsed.text.count(nasty) >= 12
    assert not re.search(r"(src|href)=(?!\"data:)", text)


def test_a_chart_of_too_little_is_nothing():
    assert plots.chart("a", "b", "c", [plots.Line([(1.0, 2.0)])]) == ""
    assert plots.chart("a", "b", "c", []) == ""
    drawn = plots.chart("a", "b", "c", [plots.Line([(0.0, 5.0), (1.0, 5.0), (2.0, float("nan"))])])
    assert "nan" not in drawn
    assert drawn.count("<polyline") == 1


def test_colours_come_back_from_under_transparency():
    frames = np.array([[[[255] * 3, [178] * 3, [100] * 3]]], np.uint8)
    alpha = np.array([[[0, 128, 255]]], np.uint8)
    (image,) = assemble.straight_colors(frames, alpha, (1.0, 1.0, 1.0), (True,))
    assert image[0, :, 0].tolist() == [0, 102, 100]


def test_frames_that_are_only_followed_need_less_memory_than_fitted_ones():
    small = resources.estimate(100, (480, 270), FitConfig())
    followed = resources.estimate(100, (480, 270), FitConfig(), followed=300)
    fitted = resources.estimate(300, (480, 270), FitConfig())
    assert small.memory < followed.memory < small.memory + 0.5 * (fitted.memory - small.memory)
    assert followed.disk == fitted.disk
    assert resources.estimate(100, (480, 270), FitConfig(), followed=50) == small


def test_a_warning_that_was_answered_is_withdrawn():
    run = Run.__new__(Run)
    run.warnings = ["it may turn", "it is dark"]
    run.records = [
        StageRecord("cameras", "scene", "", warnings=("it may turn", "it is dark")),
        StageRecord("fit", "done", "", warnings=("it may turn around",)),
    ]
    run.withdraw("it may turn")
    assert run.warnings == ["it is dark"]
    assert [record.warnings for record in run.records] == [("it is dark",), ("it may turn around",)]
