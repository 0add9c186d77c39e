"""Masks by SAM 2: prompts, the way through the clip, and the records that come out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recon4d.core import InputError
from recon4d.data.learned import (
    LearnedMaskSettings,
    Prompt,
    learned_masks,
    learned_objects,
    masks_or_classical,
    open_weights,
    prompt_from_masks,
    segmenting,
)
from recon4d.data.learned.preprocessing import Preprocessing
from recon4d.data.learned.prompts import check_prompts, most_trustworthy_frame
from recon4d.data.learned.segmenting import coverage_from_logits, exclusive, follow, network_points
from recon4d.data.learned.weights import load_model
from recon4d.data.motion import Clip, find_masks, ingest
from tests.data.moving_scene import HEIGHT, WIDTH, sliding_patch
from tests.data.test_motion_ingest import write_images
from tests.data.tiny_models import SAM_SIDE, save_depth_anything, save_sam2

FRAMES = 8
PREPARE = Preprocessing(SAM_SIDE, SAM_SIDE)
DISC = Prompt(3, box=(41.0, 35.0, 97.0, 91.0), points=((69.0, 63.0),))
CORNER = Prompt(3, object=2, points=((180.0, 20.0), (20.0, 130.0)), inside=(True, False))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return ingest(write_images(tmp_path_factory.mktemp("clip") / "d", sliding_patch(FRAMES)[0]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sam2(tmp_path_factory.mktemp("weights") / "tiny-sam2")


@pytest.fixture(scope="module")
def weights(folder: Path) -> str:
    return f"sam2:{folder}"


def test_one_object(clip: Clip, weights: str):
    calls = []
    found = learned_masks(clip, weights, [DISC], progress=lambda *call: calls.append(call))
    assert found.masks is not None
    assert found.masks.shape == clip.frames.shape[:3]
    assert found.masks.dtype == np.uint8
    assert found.health.method == "learned"
    assert found.health.reason == "SAM 2 (tiny-sam2) followed prompts in 1 frames"
    assert found.health.coverage == pytest.approx((found.masks >= 128).mean(), abs=1e-6)
    assert 0.02 < found.health.coverage < 0.98
    # Mostly yes or no: the soft edge is about a pixel wide.
    assert ((found.masks == 0) | (found.masks == 255)).mean() > 0.8
    assert calls == [("masks", k + 1, FRAMES) for k in range(FRAMES)]
    again = learned_masks(clip, weights, [DISC])
    np.testing.assert_array_equal(found.masks, again.masks)
    assert again.key == found.key


def test_several_objects_do_not_overlap(clip: Clip, weights: str, tmp_path: Path):
    first, second = learned_objects(clip, weights, [CORNER, DISC], work=tmp_path)
    assert first.masks is not None
    assert second.masks is not None
    assert not ((first.masks >= 129) & (second.masks >= 129)).any()
    assert first.key != second.key
    together = learned_masks(clip, weights, [DISC, CORNER], work=tmp_path)
    np.testing.assert_array_equal(together.masks, np.maximum(first.masks, second.masks))
    assert together.health.reason.startswith("2 objects; SAM 2")
    stored = learned_masks(clip, weights, [DISC, CORNER], work=tmp_path)
    np.testing.assert_array_equal(together.masks, stored.masks)
    assert (stored.key, stored.health) == (together.key, together.health)


def test_objects_that_appear_in_different_frames(clip: Clip, weights: str):
    late = replace(CORNER, frame=6)
    calls = []
    objects = learned_objects(clip, weights, [DISC, late], progress=lambda *call: calls.append(call))
    assert len(objects) == 2
    assert calls[-1] == ("masks", 2 * FRAMES, 2 * FRAMES)


def test_a_second_call_reads_the_folder(clip: Clip, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = learned_masks(clip, weights, [DISC], work=tmp_path)
    monkeypatch.setattr(segmenting, "load_model", lambda *args: pytest.fail("the model was loaded again"))
    again = learned_masks(clip, weights, [DISC], work=tmp_path)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert (again.key, again.health) == (first.key, first.health)


def test_the_key_is_of_all_that_counts(clip: Clip, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    other = save_sam2(tmp_path / "other", seed=1)
    moved = replace(DISC, box=(42.0, 35.0, 97.0, 91.0))
    cases = [(weights, DISC), (weights, moved), (weights, replace(DISC, frame=2)), (f"sam2:{other}", DISC)]
    keys = {learned_masks(clip, spec, [prompt]).key for spec, prompt in cases}
    assert len(keys) == len(cases)


def test_the_prompt_comes_from_the_classical_masks(clip: Clip, weights: str, tmp_path: Path):
    rough = find_masks(clip, work=tmp_path).masks
    assert rough is not None
    found = learned_masks(clip, weights, work=tmp_path)
    prompt = prompt_from_masks(rough)
    assert found.health.reason == f"SAM 2 (tiny-sam2) followed the classical mask of frame {prompt.frame}"
    np.testing.assert_array_equal(found.masks, learned_masks(clip, weights, [prompt]).masks)


def test_without_prompts_or_a_moving_subject(clip: Clip, weights: str, tmp_path: Path):
    wall = sliding_patch(1)[0][0]
    still = np.stack([np.roll(wall, shift, 1) for shift in range(4)])[:, :, 8:-8]
    with pytest.raises(InputError, match="mark the subject in one frame"):
        learned_masks(ingest(write_images(tmp_path / "d", still)), weights)


def test_prompts_reach_the_network_in_its_pixels(clip: Clip, folder: Path, weights: str):
    model = load_model(open_weights(weights), "cpu")
    seen = []
    model.prompt_encoder.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((kwargs["input_points"], kwargs["input_labels"])), with_kwargs=True
    )
    dict(follow(model, clip, PREPARE, [DISC]))
    points, labels = seen[0]
    # The network adds one half to what it is given.
    at = points[0, 0].numpy() + 0.5
    expected = np.array([[41, 35], [97, 91], [69, 63]]) * [SAM_SIDE / WIDTH, SAM_SIDE / HEIGHT]
    np.testing.assert_allclose(at, expected, rtol=1e-6)
    assert labels[0, 0].tolist() == [2, 3, 1]
    _, labels = network_points(CORNER, clip, (SAM_SIDE, SAM_SIDE))
    assert labels.tolist() == [[[1.0, 0.0]]]


def by_the_book(model, clip: Clip, prompts: list[Prompt]) -> dict[int, torch.Tensor]:
    """The whole video in memory and transformers' own loop, nothing forgotten."""
    from transformers import Sam2VideoInferenceSession

    video = PREPARE(np.asarray(clip.frames), torch.device("cpu"))
    session = Sam2VideoInferenceSession(video, clip.height, clip.width, dtype=torch.float32)
    for prompt in prompts:
        points, labels = network_points(prompt, clip, (SAM_SIDE, SAM_SIDE))
        index = session.obj_id_to_idx(prompt.object)
        session.add_point_inputs(index, prompt.frame, {"point_coords": points, "point_labels": labels.to(torch.int32)})
    session.obj_with_new_inputs = [prompt.object for prompt in prompts]
    start = prompts[0].frame
    with torch.inference_mode():
        model(session, frame_idx=start)
        answers = list(model.propagate_in_video_iterator(session, start_frame_idx=start))
        answers += model.propagate_in_video_iterator(session, start_frame_idx=start, reverse=True)
    return {answer.frame_idx: answer.pred_masks[:, 0] for answer in answers}


@pytest.mark.parametrize("start", [0, 3])
def test_forgetting_and_frames_on_demand_change_nothing(clip: Clip, weights: str, start: int):
    model = load_model(open_weights(weights), "cpu")
    prompts = [replace(DISC, frame=start), replace(CORNER, frame=start)]
    expected = by_the_book(model, clip, prompts)
    for forget in (True, False):
        found = dict(follow(model, clip, PREPARE, prompts, forget=forget))
        assert sorted(found) == list(range(FRAMES))
        for frame, masks in found.items():
            torch.testing.assert_close(masks, expected[frame], rtol=0, atol=0)


def test_memory_does_not_grow_with_the_clip(weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    long = ingest(write_images(tmp_path / "d", sliding_patch(24)[0]))
    model = load_model(open_weights(weights), "cpu")
    most, sizes = 0, []
    genuine = segmenting._forget

    def watched(session, config, frame: int, start: int) -> None:
        nonlocal most
        genuine(session, config, frame, start)
        tracked = session.output_dict_per_obj[0]["non_cond_frame_outputs"]
        most = max(most, len(tracked))
        sizes.append(any("high_res_masks" in kept for kept in tracked.values()))

    monkeypatch.setattr(segmenting, "_forget", watched)
    assert len(dict(follow(model, long, PREPARE, [replace(DISC, frame=0)]))) == 24
    # What is within reach of the present frame and of the first one; the networks looks back over four.
    assert most <= 2 * 4 + 1
    assert not any(sizes)


def test_a_given_mask_is_taken_as_it_is(clip: Clip, weights: str):
    truth = sliding_patch(FRAMES)[1]
    found = learned_masks(clip, weights, [Prompt(2, mask=truth[2])])
    assert found.masks is not None
    here = found.masks[2] >= 128
    # As well as the tiny network's map of 16 x 16 shows it.
    assert (here & truth[2]).sum() / (here | truth[2]).sum() > 0.7


def test_an_object_shown_twice(clip: Clip, weights: str):
    truth = sliding_patch(FRAMES)[1]
    found = learned_masks(clip, weights, [Prompt(1, mask=truth[1]), Prompt(6, mask=truth[6])])
    assert found.masks is not None
    for frame in (1, 6):
        here = found.masks[frame] >= 128
        assert (here & truth[frame]).sum() / (here | truth[frame]).sum() > 0.7


def test_missing_weights_give_a_line_and_the_classical_masks(clip: Clip, tmp_path: Path):
    found = masks_or_classical(clip, f"sam2:{tmp_path / 'nowhere'}")
    classical = find_masks(clip)
    np.testing.assert_array_equal(found.masks, classical.masks)
    assert found.health.method == classical.health.method
    assert found.health.warnings[0].startswith("classical masks were used instead: sam2 weights: expected a folder")
    assert found.health.warnings[1:] == classical.health.warnings


def test_weights_that_are_there_are_used(clip: Clip, weights: str):
    assert masks_or_classical(clip, weights, [DISC]).health.method == "learned"


def test_useless_masks_are_refused(clip: Clip, weights: str, monkeypatch: pytest.MonkeyPatch):
    for value, said in ((-5.0, "mark nothing"), (5.0, "mark everything")):
        maps = np.full((1, FRAMES, 16, 16), value, np.float16)
        monkeypatch.setattr(segmenting, "_logits", lambda *args, maps=maps: maps)
        with pytest.raises(InputError, match=f"masks of object 1: .*{said}"):
            learned_masks(clip, weights, [DISC])


def test_a_depth_model_makes_no_masks(clip: Clip, tmp_path: Path):
    folder = save_depth_anything(tmp_path / "w")
    with pytest.raises(InputError, match="a model that makes masks"):
        learned_masks(clip, f"depth-anything:{folder}", [DISC])


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        ([], "at least one"),
        ([replace(DISC, frame=FRAMES)], "a frame from 0 to 7"),
        ([replace(DISC, object=0)], "numbered from 1"),
        ([DISC, DISC], "one prompt for each object and frame"),
        ([Prompt(0)], "a box, points or a mask, got nothing"),
        ([replace(DISC, box=(9.0, 9.0, 9.0, 20.0))], r"left, top, right, bottom"),
        ([replace(DISC, points=((WIDTH + 1.0, 5.0),))], "places inside 200x150"),
        ([replace(DISC, inside=(True, False))], "inside or not"),
        ([Prompt(0, mask=np.zeros((HEIGHT, WIDTH), bool))], "with something in it"),
        ([Prompt(0, mask=np.ones((5, 5), bool))], r"shape \[5, 5\]"),
        ([Prompt(0, mask=np.ones((HEIGHT, WIDTH), bool), points=((1.0, 1.0),))], "got both"),
    ],
)
def test_prompts_that_do_not_fit(clip: Clip, prompts: list[Prompt], said: str):
    with pytest.raises(InputError, match=f"prompts: .*{said}"):
        check_prompts(prompts, clip)


def test_a_prompt_of_rough_masks():
    masks = np.zeros((5, 60, 80), np.uint8)
    masks[0, 20:40, 0:20] = 255  # touches the border
    masks[1, 20:40, 10:30] = 255
    masks[1, 50:55, 60:75] = 255  # in two pieces
    masks[2, 20:30, 10:20] = 255  # too small
    masks[4, 10:30, 40:60] = 255  # the third frame shows nothing, this one is good
    assert most_trustworthy_frame(masks) == 4
    prompt = prompt_from_masks(masks, points=4, number=7)
    assert (prompt.frame, prompt.object, prompt.box) == (4, 7, (40.0, 10.0, 60.0, 30.0))
    assert len(prompt.points) == 4
    assert abs(prompt.points[0][0] - 50) <= 1
    assert abs(prompt.points[0][1] - 20) <= 1
    spread = [np.hypot(*np.subtract(a, b)) for i, a in enumerate(prompt.points) for b in prompt.points[:i]]
    assert min(spread) > 4
    with pytest.raises(InputError, match="empty masks"):
        prompt_from_masks(np.zeros((2, 6, 6), np.uint8))


def test_points_stay_on_the_largest_part():
    masks = np.zeros((1, 40, 40), np.uint8)
    masks[0, 5:25, 5:25] = 255
    masks[0, 30:38, 30:38] = 200
    prompt = prompt_from_masks(masks, points=16)
    assert prompt.box == (5.0, 5.0, 25.0, 25.0)
    assert all(masks[0, int(y), int(x)] == 255 for x, y in prompt.points)


def test_coverage_has_an_edge_of_a_pixel():
    x = np.linspace(-3, 3, 16, dtype=np.float32)
    logits = np.broadcast_to(-x, (16, 16))
    for scale in (1e-3, 1.0, 1e3):
        mask = coverage_from_logits(logits * np.float32(scale), 64, 64)
        assert (mask[:, :31] == 255).all()
        assert (mask[:, 33:] == 0).all()
        assert mask.mean() / 255 == pytest.approx(0.5, abs=1 / 64)
    assert (coverage_from_logits(np.full((8, 8), -1024, np.float32), 5, 7) == 0).all()
    assert (coverage_from_logits(np.full((8, 8), 0.01, np.float32), 5, 7) == 255).all()


def test_the_stronger_object_takes_the_pixel():
    logits = np.array([[[3.0, 1.0, -2.0]], [[1.0, 2.0, -1.0]]], np.float16)
    np.testing.assert_array_equal(exclusive(logits, 0), [[2, -1, -2]])
    np.testing.assert_array_equal(exclusive(logits, 1), [[-2, 1, -1]])
    np.testing.assert_array_equal(exclusive(logits[:1], 0), logits[0])


def test_settings_are_checked():
    with pytest.raises(InputError, match="0 to 16"):
        LearnedMaskSettings(points=99)
