"""Two folders of images: pairing, masks, JSON, the table and the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from recon4d.core import InputError
from recon4d.data import write_png
from recon4d.evaluate import PSNR_CEILING, Evaluation, Settings, evaluate_images, flip, psnr, ssim, write_html
from recon4d.evaluate.report import heat

ISSUE_KEYS = [
    "psnr", "ssim", "ms_ssim", "flip", "psnr_masked", "chamfer_percent", "chamfer_dgmesh", "emd", "f_score",
    "normal_error_deg", "track_error_percent", "cd_3d", "cd_4d", "cd_m", "camera_rotation_error_deg",
    "camera_translation_error_percent", "background", "resolution", "protocol", "n_images",
]  # fmt: skip
FURTHER_KEYS = [
    "delta_5", "delta_10", "flicker", "id_persistence", "ssim_masked", "flip_masked", "lpips", "frames", "notes",
]  # fmt: skip


def folders(tmp_path: Path, count: int = 3, offset: int = 10) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    ours, truth = tmp_path / "ours", tmp_path / "truth"
    ours.mkdir()
    truth.mkdir()
    for i in range(count):
        image = rng.integers(20, 200, (24, 30, 3), dtype=np.uint8)
        write_png(truth / f"r_{i:03d}.png", image)
        write_png(ours / f"r_{i:03d}.png", image + np.uint8(offset * i))
    return ours, truth


def test_scores_are_means_over_the_pairs(tmp_path: Path) -> None:
    ours, truth = folders(tmp_path)
    result = evaluate_images(ours, truth)
    expected = [PSNR_CEILING, 20 * np.log10(255 / 10), 20 * np.log10(255 / 20)]
    assert result.psnr == pytest.approx(np.mean(expected))
    assert [frame.psnr for frame in result.frames] == pytest.approx(expected)
    assert [frame.scores.name for frame in result.worst] == ["r_002", "r_001", "r_000"]
    # The error grows by 10 levels from frame to frame.
    assert result.flicker == pytest.approx(10)
    assert result.n_images == 3
    assert result.resolution == "30x24"
    assert result.background == "images"
    assert result.ms_ssim is None
    assert result.psnr_masked is None
    assert result.chamfer_percent is None


def test_json_has_every_key_and_equal_results_give_equal_bytes(tmp_path: Path) -> None:
    ours, truth = folders(tmp_path)
    result = evaluate_images(ours, truth)
    result.write_json(tmp_path / "a.json")
    evaluate_images(ours, truth).write_json(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    stored = json.loads((tmp_path / "a.json").read_text())
    assert set(stored) == {*ISSUE_KEYS, *FURTHER_KEYS}
    assert stored["psnr"] == result.psnr
    assert stored["ms_ssim"] is None
    assert len(stored["frames"]) == 3


def test_a_folder_against_itself_is_perfect(tmp_path: Path) -> None:
    _, truth = folders(tmp_path)
    result = evaluate_images(truth, truth)
    assert (result.psnr, result.flip, result.flicker) == (PSNR_CEILING, 0, 0)
    assert result.ssim == pytest.approx(1)


def test_alpha_of_the_truth_is_background_and_mask(tmp_path: Path) -> None:
    ours, truth = tmp_path / "ours", tmp_path / "truth"
    ours.mkdir()
    truth.mkdir()
    color = np.random.default_rng(1).integers(0, 200, (20, 20, 3), dtype=np.uint8)
    alpha = np.zeros((20, 20, 1), dtype=np.uint8)
    alpha[5:15, 5:15] = 255
    write_png(truth / "x.png", np.concatenate([color, alpha], 2))
    image = np.where(alpha > 0, color + np.uint8(12), np.uint8(0))
    write_png(ours / "x.png", image)
    black = evaluate_images(ours, truth, settings=Settings(background="black"))
    assert black.background == "black"
    assert black.psnr_masked == pytest.approx(20 * np.log10(255 / 12))
    reference = np.where(alpha > 0, color, np.uint8(0))
    assert black.psnr == pytest.approx(psnr(image, reference))
    assert black.flip_masked == pytest.approx(flip(image, reference, alpha[..., 0]))
    assert black.ssim_masked == pytest.approx(ssim(image, reference, alpha[..., 0]))
    white = evaluate_images(ours, truth)
    assert white.background == "white"
    assert white.psnr is not None
    assert black.psnr is not None
    assert white.psnr < black.psnr


def test_masks_of_a_folder(tmp_path: Path) -> None:
    ours, truth = folders(tmp_path, count=2)
    masks = tmp_path / "masks"
    masks.mkdir()
    write_png(masks / "r_000.png", np.zeros((24, 30), dtype=np.uint8))
    write_png(masks / "r_001.png", np.full((24, 30), 255, dtype=np.uint8))
    result = evaluate_images(ours, truth, masks=masks)
    # The empty mask leaves its image out.
    assert result.frames[0].psnr_masked is None
    assert result.psnr_masked == pytest.approx(20 * np.log10(255 / 10))
    (masks / "r_001.png").unlink()
    with pytest.raises(InputError, match="a mask named r_001"):
        evaluate_images(ours, truth, masks=masks)


def test_other_names_are_paired_in_natural_order(tmp_path: Path) -> None:
    ours, truth = folders(tmp_path, count=12, offset=1)
    for path in sorted(ours.iterdir()):
        path.rename(ours / f"frame{int(path.stem[2:])}.png")
    result = evaluate_images(ours, truth)
    assert any("order of their names" in note for note in result.notes)
    assert [frame.psnr for frame in result.frames][1:] == pytest.approx([20 * np.log10(255 / i) for i in range(1, 12)])


def test_what_cannot_be_paired_is_refused(tmp_path: Path) -> None:
    ours, truth = folders(tmp_path)
    write_png(ours / "r_001.png", np.zeros((25, 30, 3), dtype=np.uint8))
    with pytest.raises(InputError, match=r"r_001\.png: expected the size of .*30x24.* got 30x25"):
        evaluate_images(ours, truth)
    (ours / "r_001.png").unlink()
    with pytest.raises(InputError, match="got none named r_001"):
        evaluate_images(ours, truth)
    with pytest.raises(InputError, match="expected a folder of images"):
        evaluate_images(tmp_path / "nowhere", truth)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected a folder of images"):
        evaluate_images(ours, tmp_path / "empty")


def test_the_page_is_one_file_with_the_worst_frames(tmp_path: Path) -> None:
    ours, truth = folders(tmp_path)
    result = evaluate_images(ours, truth, settings=Settings(worst=2))
    write_html(result, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert text.startswith("<!doctype html>")
    assert text.count("data:image/png;base64,") == 6
    assert not re.search(r"(src|href)=[\"'](?!data:)", text)
    assert "<script" not in text
    assert text.index("<h3>r_002") < text.index("<h3>r_001")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_names_cannot_break_the_page() -> None:
    text_result = Evaluation(protocol="<b>&", notes=("<script>alert(1)</script>",))
    from recon4d.evaluate.report import page

    assert "<script" not in page(text_result)
    assert "<b>" not in page(text_result)


def test_the_table_shows_what_applies(tmp_path: Path) -> None:
    ours, truth = folders(tmp_path)
    rows = evaluate_images(ours, truth).table()
    names = [row[0] for row in rows]
    assert names == ["PSNR", "SSIM", "FLIP", "Flicker", "Images", "Protocol"]
    assert all(len(row) == 3 and all(isinstance(cell, str) for cell in row) for row in rows)


def test_heat_grows_lighter_with_error() -> None:
    colors = heat(np.linspace(-0.1, 1.1, 50)[None]).astype(float)
    luminance = colors[0] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) >= -0.5).all()
    assert luminance[0] < 2 < 230 < luminance[-1]
