"""Whole data sets, checked against an independent z-buffer over the stored meshes and cameras."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recon4d.core import InputError
from recon4d.data.images import read_image
from recon4d.data.video import read_video
from recon4d.synthetic import CREATURE_NAMES, SynthesizeConfig, load_subject, synthesize

SMALL = SynthesizeConfig(
    "fish", camera="handheld", frames=3, val_frames=1, test_frames=2, width=72, height=64, detail=0.5, threads=1
)


def _camera(frame: dict) -> tuple[np.ndarray, np.ndarray]:
    """K and cam_from_world (OpenCV) of one entry of a transforms file."""
    k = np.array([[frame["fl_x"], 0, frame["cx"]], [0, frame["fl_y"], frame["cy"]], [0, 0, 1]])
    world_from_cam = np.array(frame["transform_matrix"]) @ np.diag([1.0, -1, -1, 1])
    return k, np.linalg.inv(world_from_cam)


def _positions(table: np.ndarray) -> np.ndarray:
    return np.stack([table["x"], table["y"], table["z"]], -1).astype(np.float64)


def _check_truth(folder: Path, zbuffer: Callable, ply_reader: Callable, views: int) -> None:
    """Alpha against projected meshes, depth against the z-buffer, flow against the next mesh, for the first views."""
    train = json.loads((folder / "transforms_train.json").read_text())["frames"]
    test = json.loads((folder / "transforms_test.json").read_text())["frames"]
    for frame in [*train[:views], *test[:1]]:
        k, cam_from_world = _camera(frame)
        name = frame["file_path"].removeprefix("./")
        table, faces = ply_reader(folder / "meshes" / f"frame_{frame['frame']:04d}.ply")
        vertices = _positions(table)
        image = read_image(folder / f"{name}.png")
        size = (frame["w"], frame["h"])
        fine = zbuffer(vertices, faces, k, cam_from_world, *size, 4)
        covered = (fine.face >= 0).reshape(size[1], 4, size[0], 4).mean((1, 3))
        alpha = image[..., 3] / 255
        np.testing.assert_array_equal(image[..., 3], read_image(folder / "masks" / f"{name}.png"))
        assert covered.sum() > 150
        assert np.minimum(covered, alpha).sum() / np.maximum(covered, alpha).sum() > 0.99
        # Sixteen samples: the threshold lies between seven and eight of them.
        solid, stored = covered > 0.47, alpha > 0.47
        assert (solid & stored).sum() / (solid | stored).sum() > 0.99

        coarse = zbuffer(vertices, faces, k, cam_from_world, *size, 1)
        depth = np.load(folder / "depth" / f"{name}.npz")["depth"]
        both = (depth > 0) & (coarse.face >= 0)
        assert ((depth > 0) == (coarse.face >= 0)).mean() > 0.998
        # Where a ray runs along an edge the two may choose different surfaces; everywhere else they agree to float32.
        error = np.abs(depth[both] - coarse.depth[both])
        assert (error < 2e-4).mean() > 0.995

        normal = np.load(folder / "normals" / f"{name}.npz")["normal"]
        np.testing.assert_allclose(np.linalg.norm(normal[depth > 0], axis=-1), 1, atol=1e-5)
        assert (normal[depth == 0] == 0).all()
        flow_file = folder / "flow" / f"{name}.npz"
        if flow_file.exists():
            following = train[frame["frame"] + 1]
            _check_flow(np.load(flow_file), coarse, both, folder, following, faces, ply_reader, zbuffer)


def _check_flow(
    stored: dict[str, np.ndarray], seen: object, both: np.ndarray, folder: Path, following: dict, faces: np.ndarray,
    ply_reader: Callable, zbuffer: Callable,
) -> None:  # fmt: skip
    next_table, next_faces = ply_reader(folder / "meshes" / f"frame_{following['frame']:04d}.ply")
    np.testing.assert_array_equal(faces, next_faces)
    k, cam_from_world = _camera(following)
    moved = (_positions(next_table)[faces[seen.face[both]]] * seen.barycentric[both][..., None]).sum(1)
    in_cam = moved @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    target = in_cam[:, :2] / in_cam[:, 2:] * [k[0, 0], k[1, 1]] + k[:2, 2]
    y, x = np.nonzero(both)
    error = np.linalg.norm(stored["flow"][both] - (target - np.stack([x + 0.5, y + 0.5], -1)), axis=-1)
    assert (error < 2e-3).mean() > 0.99
    assert np.abs(stored["flow"][both]).max() > 0.3
    assert set(np.unique(stored["visible"])) <= {0, 255}
    # A point is hidden when the next view's z-buffer has something clearly nearer beside it, seen when it is that.
    size = (following["w"], following["h"])
    ahead = zbuffer(_positions(next_table), faces, k, cam_from_world, *size, 8).depth
    inside = (target > 0).all(1) & (target < size).all(1)
    told = stored["visible"][both] == 255
    assert not told[~inside].any()
    column, row = np.floor(target[inside] * 8).astype(int).T
    behind = in_cam[inside, 2] - ahead[row, column]
    assert told[inside][behind > 0.15].sum() <= 0.02 * len(behind)
    assert (~told[inside][np.abs(behind) < 0.003]).sum() <= 0.1 * len(behind)


@pytest.mark.parametrize("name", CREATURE_NAMES)
def test_stored_truth_agrees_with_the_images(
    name: str, tmp_path: Path, zbuffer: Callable, ply_reader: Callable
) -> None:
    synthesize(replace(SMALL, subject=name), tmp_path / "out")
    _check_truth(tmp_path / "out", zbuffer, ply_reader, views=1)


@pytest.mark.parametrize(("name", "action", "hide"), [
    ("Fox", "Walk", ()), ("CesiumMan", None, ()), ("Knight", "Running_A", ("*Shield*", "1H_*", "2H_*")),
])  # fmt: skip
def test_sample_assets_agree_with_their_images(
    samples_dir: Path, tmp_path: Path, zbuffer: Callable, ply_reader: Callable, name: str, action: str | None,
    hide: tuple[str, ...],
) -> None:  # fmt: skip
    config = replace(SMALL, subject=str(samples_dir / "assets" / f"{name}.glb"), action=action, hide=hide, width=96)
    synthesize(config, tmp_path / "out")
    _check_truth(tmp_path / "out", zbuffer, ply_reader, views=1)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize("background", ["none", "room"])
def test_the_same_seed_gives_the_same_bytes_for_any_number_of_threads(tmp_path: Path, background: str) -> None:
    config = replace(SMALL, background=background, width=32, height=32)
    synthesize(config, tmp_path / "one")
    synthesize(replace(config, threads=3), tmp_path / "three")
    one, three = _digests(tmp_path / "one"), _digests(tmp_path / "three")
    assert one == three
    assert len(one) > 20
    synthesize(replace(config, seed=1), tmp_path / "other")
    other = _digests(tmp_path / "other")
    assert other.keys() == one.keys()
    assert other["train/r_0000.png"] != one["train/r_0000.png"]


def test_layout_times_and_meta(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    result = synthesize(SMALL, tmp_path / "a" / "out", progress=lambda *event: seen.append(event))
    folder = result.folder
    assert result.images == 6
    assert seen[-1] == ("meshes", 3, 3)
    assert ("views", 6, 6) in seen
    files = _digests(folder)
    for split, count in (("train", 3), ("val", 1), ("test", 2)):
        document = json.loads((folder / f"transforms_{split}.json").read_text())
        assert len(document["frames"]) == count
        for i, frame in enumerate(document["frames"]):
            assert frame["file_path"] == f"./{split}/r_{i:04d}"
            assert 0 <= frame["time"] <= 1
            assert frame["seconds"] == pytest.approx(frame["time"] * 2 / 30)
            assert {f"{k}{split}/r_{i:04d}.{s}" for k, s in (("", "png"), ("masks/", "png"), ("depth/", "npz"))} <= set(
                files
            )
        assert document["camera_angle_x"] == pytest.approx(2 * np.arctan(36 / document["fl_x"]))
    train = json.loads((folder / "transforms_train.json").read_text())["frames"]
    assert [f["time"] for f in train] == [0.0, 0.5, 1.0]
    assert sorted(p for p in files if p.startswith("flow/")) == ["flow/train/r_0000.npz", "flow/train/r_0001.npz"]
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["seed"] == 0
    assert meta["settings"]["subject"] == "fish"
    assert meta["camera_angular_speed_degrees_per_second"]["mean"] == result.angular_speed_degrees_per_second > 0
    film = read_video(folder / "train.mp4")
    assert len(film.frames) == 3
    assert film.frames[0].shape == (64, 72, 3)
    assert (np.asarray(film.frames[0])[:4, :4] > 245).all()


def test_stored_bones_move_the_stored_vertices(tmp_path: Path, ply_reader: Callable) -> None:
    synthesize(SMALL, tmp_path / "out")
    bones = np.load(tmp_path / "out" / "bones.npz")
    assert bones["names"][0] == "head"
    assert bones["parents"][0] == -1
    rest = np.concatenate([bones["rest_vertices"], np.ones((len(bones["rest_vertices"]), 1))], -1)
    for i in range(3):
        moves = bones["world_from_joint"][i] @ np.linalg.inv(bones["rest_world_from_joint"])
        posed = np.einsum("vk,vkij,vj->vi", bones["weights"], moves[bones["weight_indices"]], rest)[:, :3]
        table, _ = ply_reader(tmp_path / "out" / "meshes" / f"frame_{i:04d}.ply")
        np.testing.assert_allclose(posed, _positions(table), atol=2e-6)


def test_a_room_fills_the_image_stands_still_and_lies_behind_the_subject(tmp_path: Path) -> None:
    config = replace(SMALL, background="room", camera="static", subject="quadruped", val_frames=0, test_frames=0)
    synthesize(config, tmp_path / "out")
    images = [read_image(tmp_path / "out" / "train" / f"r_000{i}.png") for i in range(3)]
    assert images[0].shape == (64, 72, 3)
    assert images[0].std() > 15
    masks = [read_image(tmp_path / "out" / "masks" / "train" / f"r_000{i}.png") for i in range(3)]
    depth = np.load(tmp_path / "out" / "depth" / "train" / "r_0000.npz")["depth"]
    flow = np.load(tmp_path / "out" / "flow" / "train" / "r_0000.npz")["flow"]
    never = (masks[0] == 0) & (masks[1] == 0)
    assert np.abs(flow[never]).max() < 1e-3
    assert np.abs(flow[masks[0] == 255]).max() > 0.5
    assert depth[masks[0] == 255].max() < depth[never].max()
    # Away from the subject and its shadow nothing changes.
    same = (images[0] == images[1]).all(-1) & (images[1] == images[2]).all(-1)
    assert same[never & (masks[2] == 0)].mean() > 0.7


def test_a_rig_writes_synchronised_views_and_videos(tmp_path: Path) -> None:
    config = replace(SMALL, camera="rig", rig_cameras=2, frames=2, val_frames=0, test_frames=0, width=24, height=24)
    assert synthesize(config, tmp_path / "out").images == 4
    frames = json.loads((tmp_path / "out" / "transforms_train.json").read_text())["frames"]
    assert [(f["camera"], f["frame"]) for f in frames] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert len({f["file_path"] for f in frames}) == 4
    assert (tmp_path / "out" / "train_1.mp4").is_file()


def test_one_frame_is_enough(tmp_path: Path) -> None:
    config = replace(SMALL, frames=1, val_frames=0, test_frames=0, width=16, height=16)
    assert synthesize(config, tmp_path / "out").angular_speed_degrees_per_second == 0
    assert json.loads((tmp_path / "out" / "transforms_train.json").read_text())["frames"][0]["time"] == 0


def test_the_clip_plays_once_loops_or_turns_back() -> None:
    from recon4d.synthetic.synthesize import _Stage

    for subject, plays, expected in (
        ("fish", 1.0, [0, 0.5, 1]), ("fish", 1.5, [0, 0.75, 0.5]), ("quadruped", 1.5, [0, 0.75, 0.5]),
        ("quadruped", 2.0, [0, 1, 0]), ("fish", 2.0, [0, 1, 1]),
    ):  # fmt: skip
        config = replace(SMALL, subject=subject, plays=plays, width=8, height=8)
        stage = _Stage(config, load_subject(config))
        shares = [stage.clip_time(float(t)) / stage.subject.duration for t in stage.seconds]
        np.testing.assert_allclose(shares, expected, atol=1e-9)


def test_existing_folders_are_kept_unless_told_otherwise(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    config = replace(SMALL, frames=1, val_frames=0, test_frames=0, width=16, height=16)
    synthesize(config, out)
    (out / "mine.txt").write_text("kept")
    with pytest.raises(InputError, match="a new or empty folder, got a folder with files in it"):
        synthesize(config, out)
    assert (out / "mine.txt").exists()
    synthesize(replace(config, overwrite=True), out)
    assert not (out / "mine.txt").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "meta.json").write_text("{}")
    with pytest.raises(InputError, match="a data set of recon4d synthesize to replace, got a folder with other files"):
        synthesize(replace(config, overwrite=True), other)
    assert (other / "meta.json").read_text() == "{}"
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="got a file"):
        synthesize(replace(config, overwrite=True), tmp_path / "file")


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "views" and done == 1:
            raise StoppedError

    with pytest.raises(StoppedError):
        synthesize(replace(SMALL, width=16, height=16), tmp_path / "out", progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subject": "dragon"}, "quadruped, biped, fish, jelly, or a path that ends in .glb, got 'dragon'"),
        ({"camera": "drone"}, "one of orbit, handheld, static, teleport, rig, got 'drone'"),
        ({"background": "sea"}, "one of none, room, got 'sea'"),
        ({"frames": 0}, "frames: expected a whole number from 1 to 100000, got 0"),
        ({"width": 1.5}, "width: expected a whole number"),
        ({"fps": float("nan")}, "fps: expected a number from 0.1 to 1000, got nan"),
        ({"hide": ("x",)}, "nothing for a built-in creature"),
    ],
)
def test_unusable_settings_are_refused(change: dict[str, object], message: str) -> None:
    config = replace(SMALL)
    for name, value in change.items():
        # Past the type checks that only tests have.
        object.__setattr__(config, name, value)
    with pytest.raises(InputError) as caught:
        config.__post_init__()
    assert message in str(caught.value)


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.glb: expected a readable \.glb file"):
        synthesize(SynthesizeConfig(str(tmp_path / "nothing.glb")), tmp_path / "out")
    assert not (tmp_path / "out").exists()
