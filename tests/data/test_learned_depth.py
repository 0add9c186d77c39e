"""Depth by networks, and its alignment with the points of structure from motion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import InputError
from recon4d.data.learned import Depths, LearnedDepthSettings, align_depths, learned_depth
from recon4d.data.learned import depths as depths_module
from recon4d.data.learned.alignment import robust_line, sample
from recon4d.data.learned.preprocessing import DEPTH_ANYTHING, DPT, ZOEDEPTH, Preprocessing, read_preprocessing
from recon4d.data.motion import CameraHealth, CameraSolution, Clip, StageCache, Tracks, ingest
from tests.data.moving_scene import HEIGHT, WIDTH, noise_texture, sliding_patch, walking_cameras
from tests.data.test_motion_ingest import write_images
from tests.data.tiny_models import save_depth_anything, save_dpt, save_zoedepth

MAKERS = {"depth-anything": save_depth_anything, "dpt": save_dpt, "zoedepth": save_zoedepth}
SIZES = [(150, 200), (97, 64), (518, 518)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return ingest(write_images(tmp_path_factory.mktemp("clip") / "d", sliding_patch(5)[0]))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("weights")
    return {name: f"{name}:{make(folder / name)}" for name, make in MAKERS.items()}


@pytest.mark.parametrize("name", MAKERS)
def test_every_frame_gets_inverse_depth(clip: Clip, weights: dict[str, str], name: str):
    calls = []
    found = learned_depth(clip, weights[name], progress=lambda *call: calls.append(call))
    assert found.inverse.shape == clip.frames.shape[:3]
    assert found.metric == (name == "zoedepth")
    assert np.isfinite(found.inverse).all()
    assert found.inverse.min() >= 0
    assert found.at(0).std() > 1e-3
    assert np.abs(found.at(0) - found.at(4)).max() > 1e-3
    assert calls == [("depth", 2, 5), ("depth", 4, 5), ("depth", 5, 5)]
    np.testing.assert_array_equal(found.inverse, learned_depth(clip, weights[name]).inverse)


def test_batches_bound_memory_and_change_nothing(clip: Clip, weights: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    sizes: list[int] = []
    genuine = depths_module.load_model

    def watched(*args: object) -> torch.nn.Module:
        model = genuine(*args)  # type: ignore[arg-type]
        model.register_forward_pre_hook(
            lambda _, args, kwargs: sizes.append(len(kwargs["pixel_values"])), with_kwargs=True
        )
        return model

    monkeypatch.setattr(depths_module, "load_model", watched)
    one = learned_depth(clip, weights["depth-anything"], LearnedDepthSettings(batch=1))
    assert sizes == [1] * 5
    three = learned_depth(clip, weights["depth-anything"], LearnedDepthSettings(batch=3))
    assert sizes[5:] == [3, 2]
    np.testing.assert_allclose(one.inverse, three.inverse, rtol=2e-3, atol=1e-3)


def test_a_second_call_reads_the_folder(
    clip: Clip, weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = learned_depth(clip, weights["dpt"], work=tmp_path)
    assert isinstance(first.inverse, np.memmap)
    np.testing.assert_array_equal(first.inverse, learned_depth(clip, weights["dpt"]).inverse)
    monkeypatch.setattr(depths_module, "load_model", lambda *args: pytest.fail("the model was loaded again"))
    again = learned_depth(clip, weights["dpt"], LearnedDepthSettings(batch=1), work=StageCache(tmp_path))
    assert again.key == first.key
    np.testing.assert_array_equal(first.inverse, again.inverse)


def test_other_weights_are_another_result(clip: Clip, tmp_path: Path):
    keys = []
    for seed in (0, 1):
        folder = save_depth_anything(tmp_path / f"w{seed}", seed=seed)
        keys.append(learned_depth(clip, f"depth-anything:{folder}", work=tmp_path / "work").key)
    assert keys[0] != keys[1]


def test_metric_depth_anything_gives_one_over_metres(clip: Clip, tmp_path: Path):
    folder = save_depth_anything(tmp_path / "w", depth_estimation_type="metric", max_depth=20)
    found = learned_depth(clip, f"depth-anything:{folder}")
    assert found.metric
    assert found.inverse.min() >= 1 / 20.01


def test_it_is_what_transformers_itself_gives(clip: Clip, weights: dict[str, str]):
    """The model's own processor, its own sizes, and its own way back to the frame's size."""
    from transformers import DepthAnythingForDepthEstimation
    from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

    folder = weights["depth-anything"].partition(":")[2]
    processor = DPTImageProcessorPil.from_pretrained(folder)
    model = DepthAnythingForDepthEstimation.from_pretrained(folder).eval()
    with torch.inference_mode():
        answer = model(**processor(list(clip.frames[:1]), return_tensors="pt"))
    (theirs,) = processor.post_process_depth_estimation(answer, [(clip.height, clip.width)])
    ours = learned_depth(clip, weights["depth-anything"]).at(0)
    scale = float(theirs["predicted_depth"].std())
    # Theirs rounds resized pixels to 8 bits.
    np.testing.assert_allclose(ours, theirs["predicted_depth"].numpy(), atol=0.1 * scale)
    assert np.corrcoef(ours.ravel(), theirs["predicted_depth"].numpy().ravel())[0, 1] > 0.999


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ours", [DEPTH_ANYTHING, replace(DPT, mode="bilinear")])
def test_the_input_is_that_of_the_dpt_processor(size: tuple[int, int], ours: Preprocessing):
    from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

    image = noise_texture(0, 600)[: size[0], : size[1]]
    theirs = DPTImageProcessorPil(
        size={"height": ours.height, "width": ours.width}, keep_aspect_ratio=ours.keep_aspect,
        ensure_multiple_of=ours.multiple, resample={"bilinear": 2, "bicubic": 3}[ours.mode],
        image_mean=list(ours.mean), image_std=list(ours.std),
    )([image], return_tensors="pt").pixel_values  # fmt: skip
    made = ours(image[None], torch.device("cpu"))
    assert made.shape == theirs.shape
    # Pillow rounds to 8 bits, after each of two passes, and clips what bicubic overshoots.
    one_level = 1 / 255 / min(ours.std)
    assert (made - theirs).abs().median() <= one_level
    if ours.mode == "bilinear":
        assert (made - theirs).abs().max() <= 2 * one_level


@pytest.mark.parametrize("size", SIZES)
def test_the_input_is_that_of_the_zoedepth_processor(size: tuple[int, int]):
    from transformers.models.zoedepth.image_processing_pil_zoedepth import ZoeDepthImageProcessorPil

    image = noise_texture(0, 600)[: size[0], : size[1]]
    theirs = ZoeDepthImageProcessorPil(
        size={"height": 384, "width": 512}, ensure_multiple_of=32, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )([image], return_tensors="pt").pixel_values
    torch.testing.assert_close(ZOEDEPTH(image[None], torch.device("cpu")), theirs, atol=1e-4, rtol=0)


def test_borders_are_taken_off_again():
    assert ZOEDEPTH.borders(150, 200) == (25, 30)
    ramp = torch.arange(260.0).expand(1, 200, 260)
    back = ZOEDEPTH.undo_size(ramp, 150, 200)
    torch.testing.assert_close(back, torch.arange(30.0, 230.0).expand(1, 150, 200))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"size": {"shortest_edge": 224}}', "size with height and width"),
        ('{"size": {"height": 0, "width": 5}}', "a size of 1 to 8192"),
        ('{"resample": 1}', "resample 2"),
        ('{"do_resize": false}', "do_resize true"),
        ('{"do_pad": true, "size_divisor": 14}', "do_pad false"),
        ('{"image_mean": [1, 2]}', "settings of an image processor"),
        ('{"image_std": 3}', "settings of an image processor"),
        ("[1", "preprocessor_config.json"),
    ],
)
def test_processors_that_are_not_known(tmp_path: Path, content: str, said: str):
    (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(InputError, match=said):
        read_preprocessing(tmp_path, ("preprocessor_config.json",), DPT)


def test_processor_files(tmp_path: Path):
    names = ("preprocessor_config.json", "processor_config.json")
    assert read_preprocessing(tmp_path, names, DPT) == DPT
    (tmp_path / "processor_config.json").write_text('{"image_processor": {"size": 28, "do_normalize": false}}')
    found = read_preprocessing(tmp_path, names, DPT)
    assert (found.height, found.width, found.mean, found.std) == (28, 28, (0, 0, 0), (1, 1, 1))
    (tmp_path / "preprocessor_config.json").write_text('{"do_rescale": false, "ensure_multiple_of": 7}')
    found = read_preprocessing(tmp_path, names, DPT)
    assert (found.height, found.factor, found.multiple) == (384, 1.0, 7)


def solution_with(frames: int, points: np.ndarray) -> CameraSolution:
    health = CameraHealth("scene", "scene", "", (), None, "given", 1.0, 30.0, True, ())
    cameras = tuple(walking_cameras(frames))
    ids = np.arange(len(points), dtype=np.int32)
    return CameraSolution(cameras, np.ones(frames, bool), points, ids, np.zeros(len(points)), health, "k")


def bent_scene(
    frames: int = 4, *, wrong: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, CameraSolution, Tracks, np.ndarray, np.ndarray]:
    """Planes of known depth before walking cameras, with points on them; `wrong` of the points lie elsewhere.

    Returns:
        1 / depth [T, H, W], solution, tracks, and a scale and a shift for each frame to hide it behind.
    """
    rng = np.random.default_rng(seed)
    solution = solution_with(frames, np.zeros((0, 3)))
    inverse, places, ids, points = [], [], [], []
    for t, camera in enumerate(solution.cameras):
        row, column = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
        inverse.append((0.2 + 0.0006 * column + 0.0004 * t * row).astype(np.float32))
        at = rng.uniform([1, 1], [WIDTH - 1, HEIGHT - 1], (60, 2))
        z = 1 / sample(inverse[-1], at).astype(np.float64)
        bad = rng.random(60) < wrong
        z[bad] *= rng.uniform(1.5, 4, bad.sum())
        K, pose = camera.K.numpy(), camera.world_from_cam.numpy()
        in_cam = np.concatenate([(at - K[:2, 2]) / [K[0, 0], K[1, 1]], np.ones((60, 1))], 1) * z[:, None]
        points.append(in_cam @ pose[:3, :3].T + pose[:3, 3])
        places.append(at.astype(np.float32))
        ids.append(np.arange(60 * t, 60 * t + 60))
    all_ids = np.concatenate(ids).astype(np.int32)
    owner = np.repeat(np.arange(frames), 60).astype(np.int32)
    tracks = Tracks(np.concatenate(places), owner, all_ids, len(all_ids), frames, "t")
    solved = replace(solution, points=np.concatenate(points), point_ids=all_ids, point_errors=np.zeros(len(all_ids)))
    return np.stack(inverse), solved, tracks, rng.uniform(0.05, 3, frames), rng.uniform(-0.1, 0.15, frames)


@pytest.mark.parametrize("wrong", [0.0, 0.35])
def test_alignment_finds_each_frames_scale_and_shift(wrong: float):
    true, solution, tracks, scales, shifts = bent_scene(wrong=wrong)
    hidden = ((true - shifts[:, None, None]) / scales[:, None, None]).astype(np.float16)
    aligned = align_depths(Depths(hidden, False, "", ""), solution, tracks)
    assert aligned.fitted.all()
    np.testing.assert_allclose(aligned.scales, scales, rtol=2e-2)
    np.testing.assert_allclose(aligned.shifts, shifts, atol=4e-3)
    assert aligned.metres_per_unit is None
    for t in range(4):
        np.testing.assert_allclose(aligned.at(t), 1 / true[t], rtol=1e-2)
    if not wrong:
        assert aligned.errors.max() < 2e-3


def test_metric_depth_gives_the_size_of_the_unit():
    true, solution, tracks, _, _ = bent_scene()
    metres = Depths((true / 2.5).astype(np.float16), True, "", "")
    aligned = align_depths(metres, solution, tracks)
    assert aligned.metres_per_unit == pytest.approx(2.5, rel=1e-3)
    np.testing.assert_array_equal(aligned.shifts, 0)


def test_frames_without_points_lie_between_their_neighbours():
    true, solution, tracks, _, _ = bent_scene(frames=4)
    scales = np.array([1.0, 2.0, 4.0, 4.0])
    hidden = Depths((true / scales[:, None, None]).astype(np.float16), False, "", "")
    kept = (tracks.frames == 0) | (tracks.frames == 2)
    some = replace(tracks, positions=tracks.positions[kept], frames=tracks.frames[kept], ids=tracks.ids[kept])
    aligned = align_depths(hidden, solution, some)
    np.testing.assert_array_equal(aligned.fitted, [True, False, True, False])
    np.testing.assert_allclose(aligned.scales, [1, 2, 4, 4], rtol=2e-2)
    np.testing.assert_array_equal(np.isnan(aligned.errors), ~aligned.fitted)


def test_masks_say_which_points_count():
    true, solution, tracks, scales, shifts = bent_scene()
    hidden = ((true - shifts[:, None, None]) / scales[:, None, None]).astype(np.float16)
    hidden[:, :, : WIDTH // 2] = 1.0
    masks = np.zeros(true.shape, np.uint8)
    masks[:, :, WIDTH // 2 + 1 :] = 255
    aligned = align_depths(Depths(hidden, False, "", ""), solution, tracks, masks)
    np.testing.assert_allclose(aligned.at(0)[:, -80:], 1 / true[0][:, -80:], rtol=2e-2)


def test_without_tracks_points_are_projected():
    points = np.random.default_rng(0).uniform(-1, 1, (400, 3)) * [1, 1, 0.02]
    solution = solution_with(3, points)
    # Depth maps of the plane z = 0 that the points lie about.
    inverse = []
    for camera in solution.cameras:
        origin, rays = camera.rays()
        distance = -origin[2] / rays[..., 2]
        forward = rays @ camera.cam_from_world[2, :3]
        inverse.append((1 / (distance * forward)).clamp_min(0).numpy())
    aligned = align_depths(Depths((np.stack(inverse) * 7).astype(np.float16), True, "", ""), solution)
    assert aligned.metres_per_unit == pytest.approx(1 / 7, rel=0.05)


def test_points_that_tell_nothing():
    true, solution, tracks, _, _ = bent_scene()
    flat = Depths(np.ones_like(true, np.float16), False, "", "")
    with pytest.raises(InputError, match="leave depth out"):
        align_depths(flat, solution, tracks)
    with pytest.raises(InputError, match="use the same clip"):
        align_depths(replace(flat, inverse=flat.inverse[:2]), solution, tracks)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 999),
    slope=st.floats(0.01, 100),
    offset=st.floats(-5, 5),
    wrong=st.floats(0, 0.4),
    through_zero=st.booleans(),
)
def test_lines_survive_wrong_points(seed: int, slope: float, offset: float, wrong: float, through_zero: bool):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.1, 1, 80)
    offset = 0.0 if through_zero else offset
    y = slope * x + offset
    bad = rng.permutation(80) < wrong * 80
    y[bad] += slope * rng.uniform(1, 9, bad.sum())
    found = robust_line(x, y, np.random.default_rng(0), through_zero=through_zero)
    assert found == pytest.approx((slope, offset), rel=1e-5, abs=1e-5 * slope)


def test_a_falling_line_is_none():
    x = np.linspace(0, 1, 30)
    assert robust_line(x, 2 - x, np.random.default_rng(0)) is None


def test_sampling_at_pixel_centres():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    places = np.array([[0.5, 0.5], [3.5, 2.5], [1.0, 0.5], [2.5, 2.0], [0.0, 0.0], [4.0, 3.0]])
    np.testing.assert_allclose(sample(image, places), [0, 11, 0.5, 8, 0, 11])
