"""A clownfish that swims in place: a wave that grows towards the tail runs down a spine of many short bones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from recon4d.synthetic import paint
from recon4d.synthetic.creature import Creature, Rig
from recon4d.synthetic.noise import cell_noise, fractal_noise
from recon4d.synthetic.shapes import Shape, axes_along, ellipsoid, mirrored, union
from recon4d.synthetic.skeleton import Bone, Skeleton, build_skeleton, rotation, smooth_weights
from recon4d.synthetic.surface import mesh_shape

_DURATION = 3.0
_BEAT = 1.0  # seconds of one stroke of the tail
_EYE = np.array([0.575, 0.118, 0.075])
_LOOK = np.array([0.42, 0.9, 0.06])
# Joints of the spine behind the head, from front to back.
_SPINE = np.array([0.16, 0.02, -0.12, -0.25, -0.37, -0.48, -0.58, -0.68, -0.80])


def fish(detail: float = 1.0) -> Creature:
    """The clownfish; see `creature` for `detail`."""
    vertices, faces = mesh_shape(_shape(), (-1.06, -0.42, -0.66), (0.88, 0.42, 0.68), 0.0165 / detail)
    indices, weights = smooth_weights(_SKELETON, vertices, faces, width=0.055)
    return Creature("fish", vertices, faces, _paint, _DURATION, loops=True, rig=Rig(_SKELETON, indices, weights, _pose))


def _make_parts() -> dict[str, Shape]:
    body = union(
        [
            ellipsoid((0.22, 0, 0.01), (0.50, 0.195, 0.33)),
            ellipsoid((-0.18, 0, 0.0), (0.46, 0.13, 0.235)),
            ellipsoid((-0.52, 0, 0.0), (0.24, 0.062, 0.115)),
            ellipsoid((0.62, 0, -0.015), (0.13, 0.10, 0.12)),
        ],
        0.14,
    )
    lips = union(
        [
            ellipsoid((0.735, 0, 0.0), (0.04, 0.062, 0.026)),
            ellipsoid((0.725, 0, -0.045), (0.036, 0.054, 0.022)),
        ],
        0.008,
    )
    thin = 0.026
    fins = union(
        [
            ellipsoid((-0.78, 0, 0.125), (0.24, thin, 0.115), axes_along((-0.86, 0, 0.5))),
            ellipsoid((-0.78, 0, -0.125), (0.24, thin, 0.115), axes_along((-0.86, 0, -0.5))),
            ellipsoid((-0.76, 0, 0.0), (0.16, thin, 0.14)),
            ellipsoid((0.16, 0, 0.37), (0.24, thin, 0.125), axes_along((-0.95, 0, 0.12))),
            ellipsoid((-0.20, 0, 0.30), (0.17, thin, 0.14), axes_along((-0.86, 0, 0.5))),
            ellipsoid((-0.22, 0, -0.29), (0.17, thin, 0.13), axes_along((-0.86, 0, -0.5))),
        ],
        0.05,
    )
    pelvic = ellipsoid((0.20, 0.075, -0.40), (0.155, 0.024, 0.07), axes_along((-0.55, 0.2, -0.8)))
    outward = np.array([-0.72, 0.62, -0.28])
    pectoral = ellipsoid((0.20, 0.25, -0.12), (0.17, 0.024, 0.10), axes_along(outward, (0.55, 0.75, 0.1)))
    return {"body": body, "lips": lips, "fins": fins, "pelvic": mirrored(pelvic), "pectoral": mirrored(pectoral)}


_PARTS = _make_parts()


def _shape() -> Shape:
    finned = union([_PARTS["body"], _PARTS["fins"]], 0.06)
    finned = union([finned, _PARTS["pelvic"], _PARTS["pectoral"]], 0.035)
    return union([union([finned, _PARTS["lips"]], 0.02), mirrored(ellipsoid(_EYE, (0.062, 0.05, 0.062)))], 0.01)


def _skeleton() -> Skeleton:
    rows: list[Bone] = [("head", None, (0.30, 0, 0), (0.72, 0, 0), 0.26)]
    for i, x in enumerate(_SPINE):
        parent = "head" if i == 0 else f"spine_{i}"
        end = _SPINE[i + 1] if i + 1 < len(_SPINE) else -1.0
        front = 0.30 if i == 0 else x
        rows.append((f"spine_{i + 1}", parent, (front, 0, 0), (end, 0, 0), 0.26))
    for side, y in (("left", 1.0), ("right", -1.0)):
        rows.append((f"pectoral_{side}", "head", (0.27, 0.175 * y, -0.09), (0.09, 0.345 * y, -0.165), 0.055))
    return build_skeleton(rows)


_SKELETON = _skeleton()


def _pose(time: float) -> Float[np.ndarray, "b 4 4"]:
    turn = rotation
    beat = 2 * np.pi * time / _BEAT
    slow = 2 * np.pi * time / _DURATION
    heading = turn("z", 7 * np.sin(beat + 2.6) + 10 * np.sin(slow))
    rotations = {"head": heading @ turn("y", 5 * np.sin(slow + 0.8)) @ turn("x", 5 * np.sin(slow))}
    for i, x in enumerate(_SPINE):
        reach = (0.3 - x) / 1.1
        bend = (1.5 + 10 * reach**1.2) * np.sin(beat - 3.6 * reach)
        rotations[f"spine_{i + 1}"] = turn("z", bend) @ turn("y", 0.8 * np.sin(slow - reach))
    for side, y in (("left", 1.0), ("right", -1.0)):
        flap = 24 * np.sin(beat + 0.5 * y)
        rotations[f"pectoral_{side}"] = turn("z", y * (0.6 * flap + 5)) @ turn("x", y * flap)
    position = (0.10 * np.sin(slow), 0.05 * np.sin(slow + 1.2), 0.05 * np.sin(2 * slow))
    return _SKELETON.pose(rotations, position)


def _paint(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    step, over = paint.soft_step, paint.over
    x, y, z = p.T
    distance = {name: part(p) for name, part in _PARTS.items()}
    on_fin = step(0.012, 0.03, distance["body"]) * step(0.0, 0.01, distance["lips"])
    orange = np.array([0.96, 0.45, 0.08])
    colors = over(paint.flat(orange, p), (0.80, 0.24, 0.06), step(0.05, 0.32, z + 0.05 * fractal_noise(p * 6, 3, 1)))
    colors = over(colors, (1.0, 0.72, 0.30), step(-0.08, -0.30, z) * (1 - on_fin))
    # Bands: white with black edges, bulging forward in the middle, none like the next.
    wobble = 0.03 * fractal_noise(p * 4.5, 3, 2) + 0.008 * fractal_noise(p * 22, 2, 3)
    for front, back, bulge in ((0.44, 0.32, -0.6), (-0.02, -0.17, 1.3), (-0.49, -0.57, 0.0)):
        bend = bulge * z * z - (0.10 * np.exp(-((z / 0.12) ** 2)) if bulge > 1 else 0.0)
        at = x + bend + wobble
        outside = np.maximum(at - front, back - at)
        outside = np.where(np.abs(x) > 0.65, 1.0, outside)
        colors = over(colors, (0.05, 0.05, 0.07), step(0.030, 0.022, outside) * (1 - 0.4 * on_fin))
        colors = over(colors, (0.97, 0.96, 0.92), step(0.004, -0.004, outside))
    first, second, label = cell_noise(np.stack([x * 1.0, 0.35 * y, z], -1) * 27, 4)
    rim = step(0.20, 0.02, second - first)
    scaly = (1 - on_fin) * step(0.62, 0.5, x)
    colors = colors * (1 + scaly * (0.30 * (label - 0.5) - 0.28 * rim))[:, None]
    # Fins: rays fanning out of the body, a black rim.
    fan = np.where(x < -0.6, np.arctan2(z, -x - 0.3) * 80, np.arctan2(x, np.abs(z) + 0.12) * 42)
    rays = np.sin(fan + 2 * fractal_noise(p * 7, 2, 5))
    colors = colors * (1 + 0.22 * on_fin * rays)[:, None]
    edge = step(-0.925, -0.955, x + 0.25 * np.abs(z) + wobble)
    edge = np.maximum(edge, step(0.43, 0.455, z + 0.12 * np.abs(x) + wobble))
    edge = np.maximum(edge, step(-0.375, -0.40, z - 0.05 * x + wobble) * (x < 0.05))
    edge = np.maximum(edge, step(-0.485, -0.505, z + wobble))
    from_root = np.linalg.norm(np.stack([x, np.abs(y), z], -1) - np.array([0.28, 0.175, -0.09]), axis=-1)
    paddle = step(0.155, 0.17, from_root - 0.06 + wobble)
    edge = np.maximum(edge, paddle * step(0.01, 0.0, distance["pectoral"]))
    colors = over(colors, (0.05, 0.05, 0.07), edge * on_fin)
    gill = np.abs(np.hypot(x - 0.60, 1.1 * (z + 0.02)) - 0.235 + 0.5 * wobble)
    colors = over(colors, (0.55, 0.18, 0.04), 0.8 * step(0.012, 0.005, gill) * step(0.50, 0.44, x) * (np.abs(z) < 0.2))
    colors = over(colors, (0.62, 0.20, 0.03), 0.7 * paint.spots(p, 30, 0.34, 6) * step(0.40, 0.48, x))
    mouth = step(0.008, 0.003, np.abs(z + 0.024)) * step(0.70, 0.72, x)
    colors = over(colors, (0.25, 0.07, 0.03), mouth)
    colors = colors * paint.grain(p, 11, 0.25, 7)[:, None]
    mirrored_points = np.stack([x, np.abs(y), z], -1)
    colors = paint.eye(colors, mirrored_points, _EYE, _LOOK, 0.058, (0.95, 0.62, 0.12), 0.5, 0.86)
    return np.clip(colors, 0, 1)
