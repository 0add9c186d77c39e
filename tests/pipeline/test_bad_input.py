"""What is wrong with an input is said in one line, before or instead of work, and nothing is left behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from recon4d.core import InputError
from recon4d.data import write_png, write_video
from recon4d.pipeline import ReconstructSettings, reconstruct, resources
from recon4d.pipeline.work import open_work, work_folder
from tests.pipeline import tiny


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return tiny.clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 6)


def refused(source: Path, output: Path, *, left: set[str] | None = None, **settings) -> str:
    """The line that a job is refused with; what lies beside the output is as before."""
    before = {path.name for path in output.parent.iterdir()} if output.parent.is_dir() else set()
    with pytest.raises(InputError) as caught:
        reconstruct(source, output, tiny.settings(**settings), config=tiny.config())
    after = {path.name for path in output.parent.iterdir()} if output.parent.is_dir() else set()
    assert after - before <= (left or set())
    assert not output.exists() or output.name in before
    line = str(caught.value)
    assert "\n" not in line
    return line.replace(str(source), "SOURCE").replace(str(output.parent), "DIR")


def test_nothing_there(tmp_path):
    assert refused(tmp_path / "none.mp4", tmp_path / "o.r4d") == (
        "SOURCE: expected a folder, a video or a data set's JSON file, got nothing there. Fix: check the path"
    )


def test_no_video(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"this is no video" * 50)
    line = refused(tmp_path / "a.mp4", tmp_path / "o.r4d")
    assert line == (
        "SOURCE: expected a video file that FFmpeg can decode, got Invalid data found when processing input. "
        "Fix: check the path, or convert it to MP4"
    )


def test_an_empty_folder(tmp_path):
    (tmp_path / "in").mkdir()
    line = refused(tmp_path / "in", tmp_path / "o.r4d")
    assert line.startswith("SOURCE: expected one of blender: ")
    assert line.endswith("got none of them. Fix: check that the path is right")


def test_one_frame(tmp_path):
    write_video(tmp_path / "a.mp4", tiny.frames(1)[0], 12.0)
    assert refused(tmp_path / "a.mp4", tmp_path / "o.r4d") == (
        "SOURCE: expected at least two different frames, got one frame. Fix: give a video, or a folder with more images"
    )


def test_bad_input_does_not_stand_in_the_way_of_good(tmp_path, clip):
    write_video(tmp_path / "a.mp4", tiny.frames(1)[0], 12.0)
    refused(tmp_path / "a.mp4", tmp_path / "o.r4d")
    made = reconstruct(clip, tmp_path / "o.r4d", tiny.settings(), config=tiny.config(iterations=4), keep_work=True)
    assert made.scene.is_dir()
    # Stages that an earlier job has left are no unfinished run either, after a job that was refused.
    kept = {path.name for path in work_folder(made.scene).iterdir()}
    with pytest.raises(InputError, match="got one frame"):
        reconstruct(tmp_path / "a.mp4", made.scene, tiny.settings(), config=tiny.config(), overwrite=True)
    assert {path.name for path in work_folder(made.scene).iterdir()} == kept - {"fit.checkpoint"}
    again = reconstruct(clip, made.scene, tiny.settings(), config=tiny.config(iterations=4), overwrite=True)
    assert again.scene.is_dir()


def test_folders_made_for_a_job_that_is_refused_are_removed(tmp_path, clip):
    write_video(tmp_path / "a.mp4", tiny.frames(1)[0], 12.0)
    for source in (tmp_path / "none.mp4", tmp_path / "a.mp4"):
        with pytest.raises(InputError):
            reconstruct(source, tmp_path / "new" / "sub" / "o.r4d", tiny.settings(), config=tiny.config())
        assert not (tmp_path / "new").exists()


def test_frames_that_all_show_the_same(tmp_path):
    write_video(tmp_path / "a.mp4", tiny.frames(1)[0] * 6, 12.0)
    assert refused(tmp_path / "a.mp4", tmp_path / "o.r4d") == (
        "SOURCE: expected at least two different frames, got 6 frames that all show the same. "
        "Fix: give a clip in which something moves"
    )


def test_all_black(tmp_path):
    write_video(tmp_path / "a.mp4", [np.zeros((48, 48, 3), np.uint8)] * 5, 12.0)
    assert refused(tmp_path / "a.mp4", tmp_path / "o.r4d") == (
        "SOURCE: expected at least two different frames, got 5 black frames. "
        "Fix: check the video: nothing can be seen in it"
    )


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (0, "expected a subject in at least one frame, got masks that mark nothing. "
         "Fix: correct the masks, or use --masks auto"),
        (255, "expected something that is not the subject, got masks that mark everything. "
         "Fix: use --masks none to take the whole picture"),
    ],
)  # fmt: skip
def test_masks_of_nothing_or_everything(tmp_path, clip, value, line):
    masks = tiny.write_images(tmp_path / "masks", [np.full((48, 48), value, np.uint8)] * 6)
    assert refused(clip, tmp_path / "o.r4d", masks=str(masks)) == f"--masks DIR/masks: {line}"


def test_masks_of_another_shape(tmp_path, clip):
    masks = tiny.write_images(tmp_path / "masks", [np.full((48, 64), 255, np.uint8)] * 6)
    assert refused(clip, tmp_path / "o.r4d", masks=str(masks)) == (
        "DIR/masks/00000.png: expected a mask of 48x48 pixels, as its image, got 64x48. "
        "Fix: make the masks from the same images"
    )


def test_masks_of_other_frames(tmp_path, clip):
    masks = tiny.write_images(tmp_path / "masks", [np.full((48, 48), 255, np.uint8)] * 3, "mask-{}.png", first=900)
    assert refused(clip, tmp_path / "o.r4d", masks=str(masks)) == (
        "--masks DIR/masks: expected masks of the input's 6 frames, got 3 masks, none of which names a frame "
        "(mask-900.png). Fix: name them like the images, or by the number of their frame (00000.png is the first)"
    )


def test_no_masks_where_they_are_said_to_be(tmp_path, clip):
    assert refused(clip, tmp_path / "o.r4d", masks=str(tmp_path / "none")) == (
        "--masks DIR/none: expected a folder of images or a video, got nothing there. Fix: check the path of the masks"
    )


def test_a_mask_video_of_another_length(tmp_path, clip):
    tiny.clip(tmp_path / "masks.mp4", 4)
    assert refused(clip, tmp_path / "o.r4d", masks=str(tmp_path / "masks.mp4")) == (
        "--masks DIR/masks.mp4: expected 6 frames, as the input, got 4 frames. "
        "Fix: make the masks from the same video, one for each frame"
    )


def test_weights_that_are_not_there_fall_back_with_one_line(tmp_path, clip):
    result = reconstruct(
        clip, tmp_path / "o.r4d", tiny.settings(masks=f"sam2:{tmp_path / 'none'}"), config=tiny.config(iterations=4)
    )
    (line,) = (text for text in result.warnings if "classical masks were used instead" in text)
    assert "\n" not in line


def test_cameras_of_a_file_that_has_none(tmp_path, clip):
    assert refused(clip, tmp_path / "o.r4d", cameras="file") == (
        "--cameras file: expected a data set with a camera for each of its 6 images, got video with no cameras: "
        "SOURCE. Fix: use --cameras auto, or give the folder with transforms.json or a COLMAP model"
    )


def test_cameras_of_images_of_another_size(tmp_path):
    images, _ = tiny.frames(3)
    tiny.write_images(tmp_path / "in" / "images", images)
    frames = [{"file_path": f"images/{i:05d}.png", "transform_matrix": np.eye(4).tolist()} for i in range(3)]
    text = {"fl_x": 60, "fl_y": 60, "cx": 32, "cy": 24, "w": 64, "h": 48, "frames": frames}
    (tmp_path / "in" / "transforms.json").write_text(json.dumps(text))
    line = refused(tmp_path / "in", tmp_path / "o.r4d", cameras="file")
    assert line == (
        "SOURCE/transforms.json: w: expected 48, the size of SOURCE/images/00000.png, got 64. "
        "Fix: resize the images or correct it"
    )


def test_cameras_on_an_object_without_masks(tmp_path, clip):
    line = refused(clip, tmp_path / "o.r4d", cameras="object", masks="none")
    assert line == (
        "cameras: expected masks of the subject for object mode, got none. Fix: give masks or use scene mode"
    )


def test_a_background_of_none_without_a_subject(tmp_path, clip):
    assert refused(clip, tmp_path / "o.r4d", masks="none", background="none") == (
        "--background none: expected masks of a subject, got none. Fix: give masks, or use --background static"
    )


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_is_not_ours(tmp_path, clip):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert refused(clip, tmp_path / "locked" / "o.r4d") == (
        "-o DIR/o.r4d: expected a place that can be written, got Permission denied. Fix: choose another place"
    )


def test_a_place_below_a_file(tmp_path, clip):
    (tmp_path / "file").touch()
    line = refused(clip, tmp_path / "file" / "o.r4d")
    assert line == (
        "-o DIR/o.r4d: expected a place that can be written, got Not a directory. Fix: choose another place"
    ) or line.endswith("got File exists. Fix: choose another place")


def test_a_name_that_is_no_scene(tmp_path, clip):
    assert refused(clip, tmp_path / "out") == (
        "-o DIR/out: expected a name that ends in .r4d, got 'out'. Fix: use -o out.r4d"
    )


def test_a_name_that_is_taken(tmp_path, clip):
    (tmp_path / "o.r4d").mkdir()
    assert refused(clip, tmp_path / "o.r4d") == (
        "-o DIR/o.r4d: expected a new name, got one that exists. "
        "Fix: choose another name, or replace it with --overwrite"
    )
    with pytest.raises(InputError, match="expected a scene to replace, got something else of that name"):
        reconstruct(clip, tmp_path / "o.r4d", tiny.settings(), config=tiny.config(), overwrite=True)
    assert (tmp_path / "o.r4d").is_dir()


def test_a_job_that_is_being_worked_on(tmp_path, clip):
    other = open_work(tmp_path / "o.r4d", {"input": "x", "settings": {}}, resume=False, overwrite=False)
    line = "expected no other run for this result, got one that is at work"
    with other, pytest.raises(InputError, match=line):
        reconstruct(clip, tmp_path / "o.r4d", tiny.settings(), config=tiny.config(), resume=True)


def test_too_little_memory_is_said_before_the_work(tmp_path, clip, monkeypatch):
    monkeypatch.setattr(resources, "available_memory", lambda: 300 << 20)
    assert refused(clip, tmp_path / "o.r4d") == (
        "memory: expected about 0.5 GiB for these settings, got 0.3 GiB available. "
        "Fix: lower --max-frames or --max-side, use --preset draft, or close other programs"
    )


def test_too_little_space_is_said_before_the_work(tmp_path, clip, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=5 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    assert refused(clip, tmp_path / "o.r4d") == (
        "disk of DIR: expected about 25 MiB for work files, got 5 MiB free. "
        "Fix: free some space, choose another place with -o, or lower --max-frames or --max-side"
    )


@pytest.mark.parametrize("where", ["numpy.save", "recon4d.pipeline.finish.write_bytes"])
def test_a_disk_that_fills_up_is_one_line_and_the_job_goes_on_later(tmp_path, clip, monkeypatch, where):
    def full(*_, **__) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(where, full)
        line = refused(clip, tmp_path / "o.r4d", left={work_folder(tmp_path / "o.r4d").name})
    assert "expected room for the work files, got No space left on device. Fix: free some space" in line
    config = tiny.config()
    assert reconstruct(clip, tmp_path / "o.r4d", tiny.settings(), config=config, resume=True).scene.is_dir()


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")]
)
def test_memory_that_runs_out_is_one_line(tmp_path, clip, monkeypatch, error):
    def greedy(*_, **__) -> None:
        raise error

    monkeypatch.setattr(sys.modules["recon4d.pipeline.reconstruct"], "fit", greedy)
    assert refused(clip, tmp_path / "o.r4d", left={work_folder(tmp_path / "o.r4d").name}) == (
        "memory: expected enough for these settings, got none left. "
        "Fix: close other programs and go on with --resume, or lower --max-frames or --max-side"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(tmp_path, clip):
    assert refused(clip, tmp_path / "o.r4d", device="cuda") == (
        "--device cuda: expected an NVIDIA GPU that torch can use, got none. "
        "Fix: use --device cpu, or install a torch with CUDA and its driver"
    )


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"keep_out": 1}, "--keep-out: expected a whole number >= 2, auto or none, got 1. Fix: 10 is a good choice"),
        ({"train_every": 4, "keep_out": 5}, "--train-every: expected no --keep-out beside it, got 4. "
         "Fix: leave one of the two out"),
        ({"max_side": 3}, "--max-side: expected a whole number >= 16, got 3. Fix: raise it"),
        ({"focal": 500.0}, "--focal: expected a multiple of the image's long side from 0.2 to 20, got 500.0. "
         "Fix: about 0.8 is a phone, 1.2 a normal lens; divide pixels by the long side"),
    ],
)  # fmt: skip
def test_settings_out_of_range(settings, line):
    with pytest.raises(InputError) as caught:
        ReconstructSettings(**settings)
    assert str(caught.value) == line


def test_more_kept_out_than_there_is(tmp_path, clip):
    line = refused(clip, tmp_path / "o.r4d", keep_out=100)
    assert line == (
        "--keep-out: expected a number that leaves frames to fit and frames to measure by of 6, got 100. "
        "Fix: give a smaller one, or none"
    )


def test_an_image_that_cannot_be_read_is_left_out_and_told(tmp_path):
    images, _ = tiny.frames(6)
    folder = tiny.write_images(tmp_path / "in", images)
    (folder / "00002.png").write_bytes(b"broken")
    write_png(folder / "00004.png", np.zeros((20, 20, 3), np.uint8))
    result = reconstruct(folder, tmp_path / "o.r4d", tiny.settings(), config=tiny.config(iterations=4))
    assert sum("was left out" in text for text in result.warnings) == 2
