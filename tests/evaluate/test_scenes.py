"""`evaluate_scene` on a small world made here: the truth scores perfect, what is disturbed by hand is off by that."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recon4d.core import Camera, InputError, Surfels, quaternion
from recon4d.core.rigid import Similarity
from recon4d.core.spherical_harmonics import coefficients_from_color
from recon4d.core.spline import SE3Spline
from recon4d.data import Dataset, View, read_dataset, write_png
from recon4d.data.formats.blender import write_blender
from recon4d.evaluate import PSNR_CEILING, Settings, evaluate_scene, move_camera, write_html
from recon4d.evaluate.scene_cameras import camera_at, locate
from recon4d.evaluate.surfaces import Mesh, mesh_surface
from recon4d.field import Field, IdentityWarp, Refined, RigidWarp
from recon4d.render import rasterize
from recon4d.scene import Layer, Scene, merge_surfels, save

FRAMES, SIDE, STEP = 6, 56, 0.1
QUICK = Settings(samples=1500, emd_samples=400, track_points=300, geometry_frames=4)
DRIFT = torch.tensor([0.3, 0.1, -0.2], dtype=torch.float64)  # units per second
SPIN = 0.8  # radians per second about z


def body() -> Mesh:
    """A bumpy ball of radius about 0.5."""
    rings = 16
    theta, phi = np.meshgrid(
        np.linspace(0.02, np.pi - 0.02, rings), np.linspace(0, 2 * np.pi, 2 * rings), indexing="ij"
    )
    radius = 0.5 + 0.08 * np.sin(3 * phi) * np.sin(theta) ** 2
    points = radius[..., None] * np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1)
    corner = (np.arange(rings - 1)[:, None] * 2 * rings + np.arange(2 * rings - 1)).reshape(-1)
    halves = [[corner, corner + 2 * rings, corner + 1], [corner + 1, corner + 2 * rings, corner + 2 * rings + 1]]
    return Mesh(points.reshape(-1, 3), np.concatenate([np.stack(half, -1) for half in halves]))


def motion() -> SE3Spline:
    """Constant drift and spin: a uniform cubic spline reproduces both exactly."""
    knots = FRAMES + 5
    times = STEP * (torch.arange(knots, dtype=torch.float64) - 2)
    turns = quaternion.exp(torch.stack([torch.zeros(knots), torch.zeros(knots), SPIN * times], -1).double())
    return SE3Spline(turns, times[:, None] * DRIFT, start=float(times[1]), step=STEP)


def pose(time: float) -> tuple[torch.Tensor, torch.Tensor]:
    turn, shift = motion().at(torch.tensor([time], dtype=torch.float64))
    return turn[0], shift[0]


def surfels(mesh: Mesh, count: int = 1500) -> Surfels:
    surface = mesh_surface(mesh, count, seed=5)
    helper = np.where(np.abs(surface.normals[:, :1]) < 0.8, [[1.0, 0, 0]], [[0, 1.0, 0]])
    u = np.cross(helper, surface.normals)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    axes = np.stack([u, np.cross(surface.normals, u), surface.normals], -1)
    color = torch.from_numpy(0.5 + 0.4 * np.sin(9 * surface.points)).float()
    return Surfels(
        centers=torch.from_numpy(surface.points).float(),
        rotations_wxyz=quaternion.from_matrix(torch.from_numpy(axes)).float(),
        scales=torch.full((count, 2), 0.035),
        opacities=torch.full((count,), 0.95),
        sh=coefficients_from_color(color),
    )


def cameras(offset: float, count: int = FRAMES) -> list[Camera]:
    angles = [offset + 0.35 * i for i in range(count)]
    return [
        Camera.look_at(
            (2 * math.cos(a), 2 * math.sin(a), 0.4 + 0.1 * i), fov_y_degrees=40.0, width=SIDE, height=SIDE,
            dtype=torch.float64,
        )
        for i, a in enumerate(angles)
    ]  # fmt: skip


@dataclass(frozen=True)
class World:
    """A data set on disk and the scene that is its truth."""

    folder: Path
    scene: Scene


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    mesh = body()
    count = len(surfels(mesh))
    warp = RigidWarp(motion()).to(torch.float32)
    field = Field(surfels(mesh), torch.arange(count) * 7 + 3, warp)
    times = [STEP * i for i in range(FRAMES)]
    scene = Scene(torch.tensor(times, dtype=torch.float64), cameras(0.0), [Layer("ball", "object", field)])
    views = []
    for split, path in (("train", cameras(0.0)), ("test", cameras(0.2))):
        (folder / split).mkdir()
        for i, (time, camera) in enumerate(zip(times, path, strict=True)):
            out = rasterize(scene.at(time), camera.to(torch.float32))
            alpha = out.alpha.clamp(0, 1)
            straight = (out.color / alpha.clamp_min(1e-6)).clamp(0, 1)
            rgba = (torch.cat([straight, alpha], -1) * 255).round().to(torch.uint8).numpy()
            write_png(folder / split / f"r_{i:03d}.png", rgba)
            views.append(View(f"{split}/r_{i:03d}", split, folder / split / f"r_{i:03d}.png", time, camera))
    (folder / "meshes").mkdir()
    for i, time in enumerate(times):
        turn, shift = pose(time)
        vertices = (quaternion.rotate(turn, torch.from_numpy(mesh.vertices)) + shift).numpy()
        write_ply(folder / "meshes" / f"frame_{i:03d}.ply", vertices, mesh.faces)
    write_blender(folder, views, meta={"mesh_times": times})
    return World(folder, scene)


def write_ply(path: Path, vertices: np.ndarray, faces: np.ndarray) -> None:
    head = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\nproperty double x\nproperty double y\n"
        f"property double z\nelement face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    rows = np.zeros(len(faces), dtype=[("n", "u1"), ("i", "<i4", 3)])
    rows["n"], rows["i"] = 3, faces
    path.write_bytes(head.encode() + vertices.astype("<f8").tobytes() + rows.tobytes())


def changed(scene: Scene, **changes: torch.Tensor) -> Scene:
    """The scene with other canonical arrays."""
    field = scene.layers[0].field
    other = Field(field.canonical.replace(**changes), field.ids, field.warp)
    return replace(scene, layers=[Layer("ball", "object", other)])


def test_the_truth_scores_perfect(world: World, tmp_path: Path) -> None:
    save(world.scene, tmp_path / "truth.r4d")
    result = evaluate_scene(tmp_path / "truth.r4d", world.folder, settings=QUICK)
    # 8-bit straight alpha laid over white is off by at most a level or two; no more than rounding is left.
    assert result.psnr is not None
    assert result.psnr > 50
    assert result.psnr_masked is not None
    assert result.psnr_masked > 50
    assert result.ssim == pytest.approx(1, abs=1e-3)
    assert result.flip is not None
    assert result.flip < 0.01
    assert result.camera_rotation_error_deg == pytest.approx(0, abs=1e-4)
    assert result.camera_translation_error_percent == pytest.approx(0, abs=1e-4)
    # Flat discs on a curved surface: their rims stand off by less than half a percent of the size.
    assert result.chamfer_percent is not None
    assert result.chamfer_percent < 0.2
    assert result.f_score == pytest.approx(1, abs=0.01)
    assert result.normal_error_deg is not None
    assert result.normal_error_deg < 6
    assert result.track_error_percent == pytest.approx(0, abs=1e-3)
    assert (result.delta_5, result.delta_10) == (1, 1)
    assert result.cd_m is not None
    assert result.cd_m < 0.15
    assert result.id_persistence is not None
    assert result.id_persistence > 0.7
    assert result.flicker is not None
    assert result.flicker < 0.5
    assert result.background == "white"
    assert result.resolution == f"{SIDE}x{SIDE}"
    assert result.n_images == FRAMES
    result.write_json(tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text())["track_error_percent"] == result.track_error_percent
    write_html(result, tmp_path / "report.html")
    assert "test/r_00" in (tmp_path / "report.html").read_text()


def test_own_meshes_equal_to_the_truth_score_exactly_perfect(world: World) -> None:
    settings = replace(QUICK, meshes=world.folder / "meshes")
    result = evaluate_scene(world.scene, world.folder, protocol="geometry", settings=settings)
    assert result.chamfer_percent == pytest.approx(0, abs=1e-9)
    assert result.chamfer_dgmesh == 0
    assert result.emd == 0
    assert result.f_score == 1
    assert result.normal_error_deg == pytest.approx(0, abs=1e-6)
    assert result.n_images == 0
    assert result.psnr is None
    assert result.track_error_percent is None


def test_pictures_are_of_the_refined_surfels_and_shapes_of_the_plain_ones(world: World) -> None:
    """A refined branch of needles ruins the pictures as needles would, and leaves geometry and tracks alone."""
    layer = world.scene.layers[0]
    needles = layer.field.canonical.scales * torch.tensor([1.0, 0.05])
    refined = replace(Refined.like(layer.field.canonical), scales=needles)
    drawn = replace(world.scene, layers=[replace(layer, field=replace(layer.field, refined=refined))])
    truth, result, plain = (
        evaluate_scene(scene, world.folder, settings=QUICK)
        for scene in (world.scene, drawn, changed(world.scene, scales=needles))
    )
    for name in ("psnr", "ssim", "psnr_masked", "flip"):
        assert getattr(result, name) == getattr(plain, name)
        assert getattr(result, name) != getattr(truth, name)
    for name in ("chamfer_percent", "f_score", "normal_error_deg", "track_error_percent", "cd_m", "id_persistence"):
        assert getattr(result, name) == getattr(truth, name)
    assert plain.chamfer_percent != truth.chamfer_percent


def test_a_grown_subject_is_off_by_its_growth(world: World) -> None:
    grown = changed(world.scene, centers=world.scene.layers[0].field.canonical.centers * 1.1)
    base = evaluate_scene(world.scene, world.folder, protocol="geometry", settings=QUICK)
    result = evaluate_scene(grown, world.folder, protocol="geometry", settings=QUICK)
    assert base.chamfer_percent is not None
    assert result.chamfer_percent is not None
    diagonal = np.mean([1.78, 1.9])
    # A ball of radius 0.5 that grows by a tenth moves outwards by 0.05 everywhere, a little less along the normal.
    assert result.chamfer_percent == pytest.approx(100 * 0.05 / diagonal, rel=0.1)
    assert result.f_score is not None
    assert result.f_score < 0.1


def test_a_subject_that_stays_behind_has_the_drift_as_track_error(world: World) -> None:
    still = SE3Spline.constant(torch.tensor([1.0, 0, 0, 0]), torch.zeros(3))
    field = world.scene.layers[0].field
    frozen = Field(field.canonical, field.ids, RigidWarp(still))
    scene = replace(world.scene, layers=[Layer("ball", "object", frozen)])
    settings = replace(QUICK, geometry_frames=FRAMES)
    result = evaluate_scene(scene, world.folder, protocol="tracks", settings=settings)
    points = mesh_surface(body(), 300, 0).points
    distances, diagonals = [], []
    for i in range(FRAMES):
        turn, shift = pose(STEP * i)
        moved = (quaternion.rotate(turn, torch.from_numpy(points)) + shift).numpy()
        all_moved = (quaternion.rotate(turn, torch.from_numpy(body().vertices)) + shift).numpy()
        diagonals.append(np.linalg.norm(np.ptp(all_moved, axis=0)))
        if i:
            distances.append(np.linalg.norm(moved - points, axis=1).mean())
    expected = 100 * np.mean(distances) / np.mean(diagonals)
    assert expected > 5
    assert result.track_error_percent == pytest.approx(expected, rel=1e-3)


def test_a_scene_in_a_frame_of_its_own_is_aligned_once_on_the_cameras(world: World) -> None:
    frame = Similarity(
        torch.tensor(2.5, dtype=torch.float64),
        quaternion.exp(torch.tensor([0.4, -1.0, 0.3], dtype=torch.float64)),
        torch.zeros(3, dtype=torch.float64),
    )
    # Away from the origin along the axis of the spin, so that the spline of the moved motion stays exact.
    axis = quaternion.rotate(frame.rotation_wxyz, torch.tensor([0.0, 0, 3], dtype=torch.float64))
    frame = replace(frame, translation=axis)
    field = world.scene.layers[0].field
    turns, shifts = motion().rotations_wxyz, motion().translations
    # own_from_own-rest = frame o motion o frame^-1, with the canonical surfels taken to the frame first.
    spin = quaternion.multiply(
        quaternion.multiply(frame.rotation_wxyz, turns), quaternion.conjugate(frame.rotation_wxyz)
    )
    move = frame.transform_points(shifts) - quaternion.rotate(spin, frame.translation)
    rest = field.canonical
    surfels_there = rest.replace(
        centers=frame.transform_points(rest.centers.double()).float(),
        rotations_wxyz=quaternion.multiply(frame.rotation_wxyz, rest.rotations_wxyz.double()).float(),
        scales=rest.scales * 2.5,
    )
    warp = RigidWarp(SE3Spline(spin, move, start=motion().start, step=STEP)).to(torch.float32)
    own = Scene(
        world.scene.frame_times,
        [move_camera(camera, frame) for camera in world.scene.cameras],
        [Layer("ball", "object", Field(surfels_there, field.ids, warp))],
    )
    result = evaluate_scene(own, world.folder, settings=QUICK)
    straight = evaluate_scene(world.scene, world.folder, settings=QUICK)
    assert result.psnr == pytest.approx(straight.psnr, abs=0.5)
    assert result.chamfer_percent == pytest.approx(straight.chamfer_percent, abs=0.01)
    assert result.track_error_percent == pytest.approx(0, abs=1e-3)
    assert result.camera_rotation_error_deg == pytest.approx(0, abs=1e-3)
    assert any("aligned to the truth once" in note for note in result.notes)
    never = evaluate_scene(own, world.folder, protocol="dnerf", settings=replace(QUICK, align="never"))
    assert never.psnr is not None
    assert never.psnr < 25
    assert never.camera_translation_error_percent is not None
    assert never.camera_translation_error_percent > 50


def test_brighter_colours_cost_what_the_formula_says(world: World, tmp_path: Path) -> None:
    """Opaque pictures of a flat card, scored against themselves 16 levels darker."""
    card = Surfels(
        centers=torch.tensor([[0.0, 0, 0]]),
        rotations_wxyz=torch.tensor([[1.0, 0, 0, 0]]),
        scales=torch.full((1, 2), 50.0),
        opacities=torch.ones(1),
        sh=coefficients_from_color(torch.full((1, 3), 120 / 255)),
    )
    views = [Camera.look_at((0.0, 0, 3), up=(0.0, 1, 0), width=16, height=12, dtype=torch.float64) for _ in range(5)]
    for i in range(5):
        write_png(tmp_path / f"{i}.png", np.full((12, 16, 3), 104, dtype=np.uint8))
    dataset = Dataset(
        tmp_path,
        "images",
        "test",
        tuple(View(str(i), "train", tmp_path / f"{i}.png", 0.1 * i, views[i]) for i in range(5)),
    )
    scene = Scene(
        torch.arange(5).double() * 0.1,
        views,
        [Layer("card", "background", Field(card, torch.arange(1), IdentityWarp()))],
    )
    result = evaluate_scene(scene, dataset, protocol="every4")
    with pytest.raises(InputError, match="masks or alpha"):
        evaluate_scene(scene, dataset, protocol="masked")
    # Frames 0 and 4 are training frames.
    assert [frame.name for frame in result.frames] == ["1", "2", "3"]
    assert result.psnr == pytest.approx(20 * math.log10(255 / 16), abs=0.01)
    assert result.psnr_masked is None
    assert any("No masks" in note for note in result.notes)
    assert result.background == "images"
    assert result.flip is not None
    assert 0 < result.flip < 0.5


def test_views_without_cameras_use_the_scenes_own(world: World) -> None:
    from recon4d.data import read_dataset

    dataset = read_dataset(world.folder)
    blind = replace(dataset, views=tuple(replace(view, camera=None) for view in dataset.split("train")), meshes=None)
    result = evaluate_scene(world.scene, blind, protocol="every4")
    assert result.psnr is not None
    assert result.psnr > 50
    assert result.camera_rotation_error_deg is None
    assert result.n_images == 4
    assert any("held out only if" in note for note in result.notes)


def test_settings_of_background_and_size(world: World) -> None:
    settings = Settings(background="black", max_side=28)
    result = evaluate_scene(world.scene, world.folder, protocol="dnerf", settings=settings)
    assert result.background == "black"
    assert result.resolution == "28x28"
    assert result.psnr_masked is None
    assert result.psnr is not None
    assert 50 < result.psnr < PSNR_CEILING


@pytest.mark.parametrize(
    ("protocol", "wrong"),
    [("best", "protocol: expected dnerf or every4"), ("dnerf", "a test split"), ("geometry", "true meshes")],
)
def test_what_a_protocol_lacks_is_said(world: World, protocol: str, wrong: str) -> None:
    from recon4d.data import read_dataset

    dataset = read_dataset(world.folder)
    poor = replace(dataset, views=dataset.split("train"), meshes=None)
    with pytest.raises(InputError, match=wrong):
        evaluate_scene(world.scene, poor, protocol=protocol)


def test_other_bad_input_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="samples"):
        Settings(samples=0)
    with pytest.raises(InputError, match=r"6 \.ply files"):
        evaluate_scene(world.scene, world.folder, protocol="geometry", settings=replace(QUICK, meshes=tmp_path))
    with pytest.raises(InputError, match="at least one layer"):
        evaluate_scene(replace(world.scene, layers=[]), world.folder)


def test_merging_layers_keeps_the_order() -> None:
    """`_ids` numbers surfels layer by layer, as merge_surfels lines them up."""
    parts = [surfels(body(), 3), surfels(body(), 2)]
    merged = merge_surfels(parts)
    assert torch.equal(merged.centers, torch.cat([part.centers for part in parts]))


def test_the_scenes_camera_between_two_frames_is_between_them(world: World) -> None:
    first, second = world.scene.cameras[2], world.scene.cameras[3]
    assert torch.allclose(camera_at(world.scene, 0.2).cam_from_world, first.cam_from_world)
    assert torch.allclose(camera_at(world.scene, 99.0).cam_from_world, world.scene.cameras[-1].cam_from_world)
    middle = camera_at(world.scene, 0.25)
    assert torch.allclose(middle.center_in_world, (first.center_in_world + second.center_in_world) / 2)
    turns = [quaternion.from_matrix(c.cam_from_world[:3, :3]) for c in (first, middle, second)]
    halves = [
        float(quaternion.log(quaternion.multiply(b, quaternion.conjugate(a))).norm())
        for a, b in itertools.pairwise(turns)
    ]
    assert halves[0] == pytest.approx(halves[1])
    assert halves[0] > 0.05


def test_of_several_cameras_the_scenes_own_is_paired(world: World) -> None:
    times = world.scene.frame_times.tolist()
    views = [
        View(f"{name}{i}", "train", world.folder, time, camera, camera_id=name)
        for name, offset in (("a", 2.0), ("b", 0.0), ("c", 4.0))
        for i, (time, camera) in enumerate(zip(times, cameras(offset), strict=True))
    ]
    frame = locate(world.scene, views, align=True)
    assert frame.truth_from_scene is None
    assert frame.errors is not None
    assert frame.errors.rotation_deg == pytest.approx(0, abs=1e-6)
    assert locate(world.scene, [replace(view, time=view.time + 0.03) for view in views], align=True).errors is None


def test_a_scene_that_found_another_lens_is_asked_for_pictures_by_it(world: World) -> None:
    """A scene 1.25 times as far from its cameras, whose lens is as much longer: its pictures are right."""
    longer = 1.25
    scene = world.scene
    found = []
    for camera in scene.cameras:
        K = camera.K.clone()
        K[0, 0], K[1, 1] = longer * K[0, 0], longer * K[1, 1]
        pose = camera.cam_from_world.clone()
        pose[:3, 3] *= longer
        found.append(Camera(K, pose, camera.width, camera.height))
    views = [
        View(f"{i}", "train", world.folder, time, camera)
        for i, (time, camera) in enumerate(zip(scene.frame_times.tolist(), scene.cameras, strict=True))
    ]
    frame = locate(replace(scene, cameras=found), views, align=True)
    assert frame.lens == pytest.approx(longer)
    assert "1.25 times as long" in frame.note
    for camera, own in zip(scene.cameras, found, strict=True):
        seen_from = frame.scene_camera(camera, 0.0)
        torch.testing.assert_close(seen_from.K, own.K, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(seen_from.cam_from_world, own.cam_from_world.double(), rtol=1e-6, atol=1e-6)
    assert locate(scene, views, align=True).lens == 1.0


def test_a_scene_that_knows_no_world_is_placed_at_every_moment(world: World) -> None:
    """The subject stands still at half its size, and the cameras move around it: nothing is wrong."""
    size = 0.5
    around = []
    for time, camera in zip(world.scene.frame_times.tolist(), world.scene.cameras, strict=True):
        turn, shift = pose(time)
        body_from_world = Similarity(torch.tensor(1.0, dtype=torch.float64), turn, shift).inverse()
        small = Similarity(
            torch.tensor(size, dtype=torch.float64), torch.eye(4, dtype=torch.float64)[0], torch.zeros(3)
        )
        around.append(move_camera(move_camera(camera, body_from_world), small))
    field = world.scene.layers[0].field
    rest = field.canonical.replace(centers=size * field.canonical.centers, scales=size * field.canonical.scales)
    still = Layer("ball", "object", Field(rest, field.ids, IdentityWarp()))
    found = Scene(world.scene.frame_times, around, [still])

    placed = evaluate_scene(found, world.folder, settings=replace(QUICK, align="moment"))
    once = evaluate_scene(found, world.folder, settings=QUICK)
    # The middle of 1,500 drawn surfels is not quite that of the mesh.
    assert placed.psnr > 40 > 30 > once.psnr
    assert placed.chamfer_percent < 0.5 < 5 < once.chamfer_percent
    assert placed.track_error_percent < 0.5 < once.track_error_percent
    assert "at each of 6 moments" in " ".join(placed.notes)


def test_moments_need_a_true_subject(world: World) -> None:
    """Without true meshes nobody knows how far away it is."""
    dataset = replace(read_dataset(world.folder), meshes=None)
    with pytest.raises(InputError, match="true meshes at times of the scene"):
        evaluate_scene(world.scene, dataset, settings=replace(QUICK, align="moment"))
