"""Chamfer, F-score, normal error and earth mover's distance against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import InputError
from recon4d.evaluate import (
    Mesh,
    chamfer_dgmesh,
    compare_surfaces,
    disc_surface,
    earth_movers,
    mesh_surface,
)


def grid(side: int = 12, size: float = 1.0) -> Mesh:
    """A flat square [0, size]^2 at z = 0 of 2 (side - 1)^2 triangles."""
    x, y = np.meshgrid(np.linspace(0, size, side), np.linspace(0, size, side), indexing="ij")
    vertices = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3)
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).reshape(-1)
    faces = [[corner, corner + side, corner + 1], [corner + 1, corner + side, corner + side + 1]]
    return Mesh(vertices, np.concatenate([np.stack(f, -1) for f in faces]))


def sphere(points: int, seed: int = 0, radius: float = 1.0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(points, 3))
    return radius * x / np.linalg.norm(x, axis=1, keepdims=True)


def ball(radius: float = 1.0, rings: int = 24) -> Mesh:
    """A sphere of triangles by rings and sectors."""
    theta, phi = np.linspace(0, np.pi, rings), np.linspace(0, 2 * np.pi, 2 * rings)
    t, p = np.meshgrid(theta, phi, indexing="ij")
    vertices = radius * np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)], -1).reshape(-1, 3)
    side = 2 * rings
    corner = (np.arange(rings - 1)[:, None] * side + np.arange(side - 1)).reshape(-1)
    faces = [[corner, corner + side, corner + 1], [corner + 1, corner + side, corner + side + 1]]
    return Mesh(vertices, np.concatenate([np.stack(f, -1) for f in faces]))


def moved(mesh: Mesh, rotation: np.ndarray | None = None, shift: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Mesh:
    turn = np.eye(3) if rotation is None else rotation
    return Mesh(mesh.vertices @ turn.T + np.array(shift), mesh.faces)


@pytest.mark.parametrize("seeds", [(0, 0), (0, 1)])
def test_a_mesh_scores_perfect_against_itself_whatever_the_samples(seeds: tuple[int, int]) -> None:
    mesh = ball()
    scores = compare_surfaces(mesh_surface(mesh, 3000, seeds[0]), mesh_surface(mesh, 3000, seeds[1]), mesh.diagonal)
    assert scores.chamfer_percent < 1e-9
    assert scores.f_score == 1
    # Samples within rounding of an edge may meet the face beyond it.
    assert scores.normal_error_deg < (1e-9 if seeds == (0, 0) else 0.01)


@pytest.mark.parametrize("shift", [0.003, 0.05])
def test_a_shifted_plane_is_off_by_the_shift(shift: float) -> None:
    plane = grid()
    scores = compare_surfaces(
        mesh_surface(moved(plane, shift=(0, 0, shift)), 2000, 1), mesh_surface(plane, 2000, 2), plane.diagonal
    )
    expected = 100 * shift / np.sqrt(2)
    assert scores.chamfer_percent == pytest.approx(expected, abs=1e-9)
    assert scores.accuracy_percent == pytest.approx(expected, abs=1e-9)
    assert scores.completeness_percent == pytest.approx(expected, abs=1e-9)
    assert scores.f_score == (1 if expected <= 1 else 0)
    assert scores.normal_error_deg == pytest.approx(0, abs=1e-9)


def test_half_a_plane_has_full_precision_and_half_recall() -> None:
    plane = grid(side=21)
    half = Mesh(plane.vertices, plane.faces[plane.vertices[plane.faces][:, :, 0].max(1) <= 0.5 + 1e-9])
    scores = compare_surfaces(mesh_surface(half, 4000, 1), mesh_surface(plane, 20_000, 2), plane.diagonal)
    # Half of the truth lies at distances spread evenly over [0, 0.5] from it: the mean is 0.125 over all of it.
    assert scores.accuracy_percent == pytest.approx(0, abs=1e-9)
    assert scores.completeness_percent == pytest.approx(100 * 0.125 / np.sqrt(2), rel=0.02)
    recall = 0.5 + 0.01 * np.sqrt(2)
    assert scores.f_score == pytest.approx(2 * recall / (1 + recall), abs=0.01)


@pytest.mark.parametrize("degrees", [0.01, 3.0, 40.0])
def test_turned_discs_are_off_by_the_angle(degrees: float) -> None:
    plane, angle = grid(), np.radians(degrees)
    centers = mesh_surface(plane, 1500, 4).points
    tangents = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0]])
    discs = disc_surface(
        centers, np.tile(tangents, (1500, 1, 1)), np.full((1500, 2), 1e-4), np.ones(1500), samples=1500, seed=0
    )
    scores = compare_surfaces(discs, mesh_surface(plane, 1500, 5), plane.diagonal)
    assert scores.normal_error_deg == pytest.approx(degrees, rel=1e-6)


def test_normals_have_no_sign() -> None:
    plane = grid()
    flipped = Mesh(plane.vertices, plane.faces[:, ::-1].copy())
    scores = compare_surfaces(mesh_surface(flipped, 500, 1), mesh_surface(plane, 500, 2), 1.0)
    assert scores.normal_error_deg == pytest.approx(0, abs=1e-9)


def test_discs_that_tile_a_plane_are_that_plane() -> None:
    plane = grid()
    rng = np.random.default_rng(0)
    centers = np.concatenate([rng.random((4000, 2)), np.zeros((4000, 1))], 1)
    turn = rng.random(4000) * 2 * np.pi
    zero = np.zeros_like(turn)
    u = np.stack([np.cos(turn), np.sin(turn), zero], -1)
    v = np.stack([-np.sin(turn), np.cos(turn), zero], -1)
    discs = disc_surface(centers, np.stack([u, v], 1), np.full((4000, 2), 0.04), np.ones(4000), 4000, 0)
    assert np.abs(discs.points[:, 2]).max() == pytest.approx(0, abs=1e-12)
    scores = compare_surfaces(discs, mesh_surface(plane, 4000, 1), plane.diagonal)
    # Off only where discs of the rim reach over the edge of the plane.
    assert scores.completeness_percent < 1e-3
    assert scores.accuracy_percent < 0.15


def test_discs_that_cannot_be_seen_do_not_count() -> None:
    centers = np.array([[0.0, 0, 0], [0, 0, 5]])
    tangents = np.tile(np.eye(3)[:2], (2, 1, 1))
    discs = disc_surface(centers, tangents, np.ones((2, 2)), np.array([1.0, 0.0]), 200, 0)
    assert np.abs(discs.points[:, 2]).max() == 0
    distance, _ = discs.nearest(np.array([[0.0, 0, 4]]))
    assert distance[0] == pytest.approx(4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_distance_to_triangles_is_the_least_over_a_dense_sampling(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mesh = Mesh(rng.normal(size=(3, 3)), np.array([[0, 1, 2]]))
    queries = rng.normal(size=(20, 3)) * 2
    distance, _ = mesh_surface(mesh, 10, 0).nearest(queries)
    weights = np.stack(np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 60)), -1).reshape(-1, 2)
    weights = weights[weights.sum(1) <= 1 + 1e-12]
    dense = np.concatenate([1 - weights.sum(1, keepdims=True), weights], 1) @ mesh.vertices
    least = np.linalg.norm(queries[:, None] - dense, axis=2).min(1)
    spacing = mesh.diagonal / 30
    assert np.all(distance <= least + 1e-12)
    assert np.all(distance >= least - spacing)


def test_scores_are_symmetric() -> None:
    first, second = mesh_surface(ball(1.0), 2000, 1), mesh_surface(moved(ball(1.1), shift=(0.1, 0, 0)), 2000, 2)
    one, other = compare_surfaces(first, second, 3.0), compare_surfaces(second, first, 3.0)
    assert one.chamfer_percent == pytest.approx(other.chamfer_percent)
    assert one.f_score == pytest.approx(other.f_score)
    assert one.normal_error_deg == pytest.approx(other.normal_error_deg)
    assert one.accuracy_percent == pytest.approx(other.completeness_percent)


def test_chamfer_dgmesh_is_squared_on_vertices_and_the_mean_of_both_directions() -> None:
    first = np.array([[0.0, 0, 0], [1, 0, 0]])
    second = np.array([[0.0, 0, 0.1]])
    # Forward: (0.01 + 1.01) / 2; backward: 0.01.
    assert chamfer_dgmesh(first, second) == pytest.approx(0.5 * (0.51 + 0.01))
    assert chamfer_dgmesh(first, second) == pytest.approx(chamfer_dgmesh(second, first))
    assert chamfer_dgmesh(first, first) == 0


def test_earth_movers_distance_of_a_shift_is_the_shift() -> None:
    points = sphere(300)
    shift = np.array([0.3, -0.4, 0.0])
    assert earth_movers(points + shift, points[::-1].copy()).distance == pytest.approx(0.5)
    assert earth_movers(points, points).distance == 0


def test_earth_movers_matches_one_to_one() -> None:
    first = np.array([[0.0, 0, 0], [0, 0, 0], [10, 0, 0]])
    second = np.array([[0.0, 0, 0], [10, 0, 0], [10, 0, 0]])
    assert earth_movers(first, second).distance == pytest.approx(10 / 3)


@pytest.mark.parametrize("kind", ["other samples", "stretched", "shifted", "part moved away"])
def test_the_auction_is_within_its_bound_of_the_exact_answer(kind: str) -> None:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    first, second = sphere(1200, 1), sphere(1200, 2)
    if kind == "stretched":
        second = second * [1.2, 1, 0.8]
    elif kind == "shifted":
        second = second + np.array([0.5, 0, 0])
    elif kind == "part moved away":
        second[:300, 0] += 3
    costs = cdist(first, second)
    exact = costs[linear_sum_assignment(costs)].mean()
    result = earth_movers(first, second, relative_gap=0.01)
    assert result.lower_bound - 1e-12 <= exact <= result.distance + 1e-12
    assert result.distance <= exact * 1.01


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        (lambda: Mesh(np.zeros((2, 3)), np.zeros((1, 3), dtype=int)), "vertices: expected floating point"),
        (lambda: Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]])), "vertices: expected finite values, got 9 NaN"),
        (lambda: Mesh(np.eye(3), np.array([[0, 1, 3]])), "faces: expected integers"),
        (lambda: Mesh(np.eye(3), np.array([[0.0, 1, 2]])), "faces: expected integers"),
        (lambda: mesh_surface(Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])), 5, 0), "a total area of 0"),
        (lambda: chamfer_dgmesh(np.zeros((0, 3)), np.eye(3)), "prediction: expected floating point"),
        (lambda: chamfer_dgmesh(np.eye(3), np.eye(3, dtype=int)), "truth: expected floating point"),
        (lambda: earth_movers(np.eye(3), np.eye(3)[:2]), "prediction: expected 2 points"),
        (lambda: earth_movers(np.eye(3), np.eye(3), relative_gap=2), "relative_gap"),
        (lambda: compare_surfaces(mesh_surface(grid(), 5, 0), mesh_surface(grid(), 5, 0), float("nan")), "diagonal"),
    ],
)
def test_bad_shapes_are_refused_in_one_line(call: object, wrong: str) -> None:
    assert callable(call)
    with pytest.raises(InputError, match=wrong) as caught:
        call()
    assert "\n" not in str(caught.value)
