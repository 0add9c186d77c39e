"""Noise, implicit shapes, meshing, sampling, textures and skeletons: what creatures are made with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon4d.core import InputError
from recon4d.data.gltf import skin
from recon4d.synthetic import noise, shapes, surface
from recon4d.synthetic.skeleton import build_skeleton, rotation, smooth_weights, two_bone_reach
from recon4d.synthetic.texture import bake


def _sphere_mesh(radius: float = 0.5, spacing: float = 0.08) -> tuple[np.ndarray, np.ndarray]:
    ball = shapes.ellipsoid((0.1, 0, 0), (radius,) * 3)
    return surface.mesh_shape(ball, (-0.7, -0.7, -0.7), (0.9, 0.7, 0.7), spacing)


def test_noise_is_a_function_of_place_and_seed() -> None:
    points = np.random.default_rng(0).uniform(-40, 40, (4000, 3))
    values = noise.fractal_noise(points, 4, seed=3)
    np.testing.assert_array_equal(values[::-1], noise.fractal_noise(points[::-1].copy(), 4, seed=3))
    assert abs(float(values.mean())) < 0.02
    assert 0.1 < float(values.std()) < 0.4
    assert abs(np.corrcoef(values, noise.fractal_noise(points, 4, seed=4))[0, 1]) < 0.05


def test_gradient_noise_is_zero_on_its_lattice_and_continuous() -> None:
    lattice = np.stack(np.meshgrid(*[np.arange(-3.0, 3.0)] * 3), -1).reshape(-1, 3)
    np.testing.assert_array_equal(noise.gradient_noise(lattice), 0)
    line = np.linspace([-2.1, 0.3, 0.7], [2.1, 0.4, -0.6], 4001)
    assert np.abs(np.diff(noise.gradient_noise(line))).max() < 0.01


def test_cell_noise_finds_the_nearest_feature() -> None:
    points = np.random.default_rng(1).uniform(-5, 5, (500, 3))
    first, second, label = noise.cell_noise(points, 2)
    assert (first <= second).all()
    assert ((label >= 0) & (label < 1)).all()
    # Distance to a set of points changes no faster than one moves.
    shifted = noise.cell_noise(points + np.array([0.01, 0, 0]), 2)[0]
    assert np.abs(shifted - first).max() <= 0.01 + 1e-5


def test_shapes_are_zero_on_their_surface_and_about_distances_near_it() -> None:
    generator = np.random.default_rng(2)
    directions = generator.normal(size=(200, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    on_ellipsoid = directions * [0.3, 0.5, 0.2] + [1, 2, 3]
    np.testing.assert_allclose(shapes.ellipsoid((1, 2, 3), (0.3, 0.5, 0.2))(on_ellipsoid), 0, atol=1e-12)
    rod = shapes.capsule((0, 0, 0), (0, 0, 1), 0.2, 0.1)
    np.testing.assert_allclose(rod(np.array([[0.5, 0, 0], [0, 0.5, 1], [0, 0, 2], [0, 0, -1]])), [0.3, 0.4, 0.9, 0.8])
    chain = shapes.rope([(0, 0, 0), (0, 0, 1)], [0.2, 0.1])
    np.testing.assert_allclose(chain(on_ellipsoid), rod(on_ellipsoid))


def test_union_carving_and_mirroring_keep_inside_and_outside() -> None:
    a, b = shapes.ellipsoid((0, 0.5, 0), (0.4,) * 3), shapes.ellipsoid((0.5, 0.5, 0), (0.4,) * 3)
    points = np.random.default_rng(3).uniform(-1, 1, (500, 3))
    joined, hollowed = shapes.union([a, b], 0.05)(points), shapes.carve(a, b, 0.05)(points)
    assert (joined <= np.minimum(a(points), b(points))).all()
    assert (joined >= np.minimum(a(points), b(points)) - 0.05 / 4).all()
    assert (hollowed >= np.maximum(a(points), -b(points))).all()
    np.testing.assert_array_equal(shapes.mirrored(a)(points * [1, -1, 1]), shapes.mirrored(a)(points))


def test_meshed_sphere_is_closed_round_and_even() -> None:
    vertices, faces = _sphere_mesh()
    assert surface.is_closed(faces)
    np.testing.assert_allclose(np.linalg.norm(vertices - [0.1, 0, 0], axis=-1), 0.5, atol=2e-4)
    assert surface.signed_volume(vertices, faces) == pytest.approx(4 / 3 * np.pi * 0.5**3, rel=0.02)
    normals = surface.vertex_normals(vertices, faces)
    assert ((normals * (vertices - [0.1, 0, 0]) / 0.5).sum(-1) > 0.995).all()
    edges = np.linalg.norm(vertices[faces] - vertices[np.roll(faces, 1, axis=1)], axis=-1)
    assert edges.min() > 0.2 * edges.mean()


def test_is_closed_sees_a_missing_and_a_flipped_face() -> None:
    _, faces = _sphere_mesh()
    assert not surface.is_closed(faces[1:])
    flipped = faces.copy()
    flipped[0] = flipped[0, ::-1]
    assert not surface.is_closed(flipped)


def test_a_surface_that_leaves_the_box_is_refused() -> None:
    with pytest.raises(InputError, match="widen the box"):
        surface.mesh_shape(shapes.ellipsoid((0, 0, 0), (1, 1, 1)), (-0.5, -0.5, -0.5), (0.5, 0.5, 0.5), 0.1)


def test_samples_are_on_the_surface_even_and_repeatable() -> None:
    from scipy.spatial import cKDTree

    vertices, faces = _sphere_mesh()
    face, barycentric = surface.sample_surface(vertices, faces, 400, np.random.default_rng(0))
    assert len(face) == 400
    np.testing.assert_allclose(barycentric.sum(-1), 1)
    assert (barycentric >= 0).all()
    points = (vertices[faces[face]] * barycentric[..., None]).sum(1)
    nearest = cKDTree(points).query(points, k=2)[0][:, 1]
    spacing = np.sqrt(4 * np.pi * 0.5**2 / 400)
    # Independent draws come as near as 0.03 spacings here; a hexagonal grid is 1.07 apart.
    assert nearest.min() > 0.5 * spacing
    again = surface.sample_surface(vertices, faces, 400, np.random.default_rng(0))
    np.testing.assert_array_equal(again[0], face)
    np.testing.assert_array_equal(again[1], barycentric)


def test_texture_blends_linearly_within_and_across_faces() -> None:
    vertices, faces = _sphere_mesh(spacing=0.2)

    def painter(face: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        return 0.5 + 0.4 * (vertices[faces[face]] * barycentric[..., None]).sum(1)

    generator = np.random.default_rng(4)
    face = generator.integers(0, len(faces), 2000)
    barycentric = generator.dirichlet([0.5] * 3, 2000)
    barycentric[:60] = np.repeat(np.eye(3), 20, axis=0)
    for texel in (0.01, 0.07, 10.0):
        texture = bake(vertices, faces, texel, painter)
        np.testing.assert_allclose(texture.color_at(face, barycentric), painter(face, barycentric), atol=3e-6)


def test_texels_are_as_fine_as_asked_for() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [5.1, 0, 0], [5, 0.1, 0]])
    texture = bake(vertices, np.array([[0, 1, 2], [3, 4, 5]]), 0.05, lambda f, b: np.zeros((len(f), 3)))
    assert texture.resolution.tolist() == [29, 3]
    assert len(texture.texels) == 30 * 31 // 2 + 4 * 5 // 2


@settings(deadline=None)
@given(
    st.floats(-170, 170), st.floats(0.3, 1.2), st.floats(0.3, 1.2), st.floats(10, 170), st.sampled_from([-1.0, 1.0]),
    st.floats(0.15, 0.95), st.floats(-180, 180),
)  # fmt: skip
def test_two_bones_reach_their_target_and_keep_their_bend(
    start: float, upper: float, lower: float, bend: float, side: float, share: float, towards: float
) -> None:
    def along(angle: float, length: float) -> np.ndarray:
        return rotation("y", angle) @ [length, 0, 0]

    root = np.array([0.4, 0.1, 0.7])
    middle = root + along(start, upper)
    end = middle + along(start + side * bend, lower)
    reach = abs(upper - lower) * 1.01 + share * (upper + lower - abs(upper - lower) * 1.01)
    target = root + along(towards, reach)
    first, second = two_bone_reach(root, middle, end, target)
    turned = rotation("y", first)
    knee = root + turned @ (middle - root)
    foot = knee + turned @ rotation("y", second) @ (end - middle)
    np.testing.assert_allclose(foot, target, atol=2e-3)
    bent = np.cross(knee - root, foot - knee)[1]
    assert np.sign(bent) in (0, side)


def _bar() -> tuple[np.ndarray, np.ndarray, object]:
    vertices, faces = surface.mesh_shape(
        shapes.capsule((-0.5, 0, 0), (0.5, 0, 0), 0.1), (-0.8, -0.3, -0.3), (0.8, 0.3, 0.3), 0.06
    )
    rows = [("a", None, (-0.5, 0, 0), (0, 0, 0), 0.1), ("b", "a", (0, 0, 0), (0.5, 0, 0), 0.1)]
    return vertices, faces, build_skeleton(rows)


def test_weights_are_smooth_belong_to_the_nearest_bone_and_sum_to_one() -> None:
    vertices, faces, skeleton = _bar()
    indices, weights = smooth_weights(skeleton, vertices, faces, width=0.06)
    np.testing.assert_allclose(weights.sum(1), 1)
    of_b = (weights * (indices == 1)).sum(1)
    assert (of_b[vertices[:, 0] > 0.4] > 0.99).all()
    assert (of_b[vertices[:, 0] < -0.4] < 0.01).all()
    middle = np.abs(vertices[:, 0]) < 0.02
    assert ((of_b[middle] > 0.2) & (of_b[middle] < 0.8)).all()
    edges = np.abs(of_b[faces] - of_b[np.roll(faces, 1, axis=1)])
    assert edges.max() < 0.6


def test_skin_follows_its_bones() -> None:
    vertices, faces, skeleton = _bar()
    indices, weights = smooth_weights(skeleton, vertices, faces, width=0.03)
    frames = skeleton.pose({"b": rotation("z", 90)}, (0, 0, 2.0))
    rest_inverse = np.linalg.inv(skeleton.rest())
    posed = skin(vertices, frames @ rest_inverse, indices, weights)
    far = vertices[:, 0] > 0.35
    np.testing.assert_allclose(posed[far], vertices[far] @ rotation("z", 90).T + [0, 0, 2], atol=5e-3)
    np.testing.assert_allclose(skin(vertices, skeleton.rest() @ rest_inverse, indices, weights), vertices, atol=1e-12)
