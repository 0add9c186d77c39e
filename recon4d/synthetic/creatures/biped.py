"""A child in a knitted jumper that turns once around on the spot, stepping, and waves with the right hand."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from recon4d.synthetic import paint
from recon4d.synthetic.creature import Creature, Rig
from recon4d.synthetic.noise import cell_noise, fractal_noise, gradient_noise
from recon4d.synthetic.shapes import Shape, axes_along, capsule, ellipsoid, mirrored, rope, union
from recon4d.synthetic.skeleton import Bone, Skeleton, build_skeleton, rotation, smooth_weights
from recon4d.synthetic.surface import mesh_shape

_DURATION = 4.0
_GROUND = 0.78  # the ground lies this far below the origin
_EYE = np.array([0.165, 0.082, 1.275])
_LOOK = np.array([0.93, 0.2, 0.06])
_SHOULDER = np.array([0.0, 0.165, 0.955])
_ARM = np.array([0.0, 0.866, -0.5])  # direction of the left arm at rest
_ACROSS = np.array([0.0, 0.5, 0.866])


def biped(detail: float = 1.0) -> Creature:
    """The child; see `creature` for `detail`."""
    vertices, faces = mesh_shape(_shape(), (-0.52, -0.85, -0.06), (0.36, 0.85, 1.66), 0.0155 / detail)
    indices, weights = smooth_weights(_SKELETON, vertices, faces, width=0.032)
    return Creature(
        "biped", vertices, faces, _paint, _DURATION, loops=True, rig=Rig(_SKELETON, indices, weights, _pose)
    )


def _on_arm(along: float, across: float = 0.0, forward: float = 0.0) -> np.ndarray:
    return _SHOULDER + along * _ARM + across * _ACROSS + np.array([forward, 0.0, 0.0])


def _make_parts() -> dict[str, Shape]:
    """The shapes of what the child is made of and wears; painting asks which of them a point belongs to."""
    trunk = union(
        [
            ellipsoid((0.0, 0, 0.86), (0.115, 0.155, 0.175)),
            ellipsoid((0.008, 0, 0.71), (0.135, 0.165, 0.14)),
            capsule((0, -0.02, 1.015), (0, 0.02, 1.015), 0.078),
        ],
        0.06,
    )
    sleeve = rope([_on_arm(0.0), _on_arm(0.22), _on_arm(0.40)], [0.07, 0.06, 0.057], 0.04)
    leg = rope([(0, 0.082, 0.58), (0.012, 0.092, 0.34), (0.0, 0.098, 0.105)], [0.088, 0.074, 0.069], 0.04)
    shoe = union(
        [
            ellipsoid((-0.01, 0.10, 0.055), (0.075, 0.062, 0.055)),
            ellipsoid((0.085, 0.108, 0.05), (0.082, 0.066, 0.05)),
        ],
        0.05,
    )
    fingers = [
        capsule(_on_arm(0.50, a, 0.004), _on_arm(0.575 - 3 * a * a, 1.75 * a, 0.014), 0.021, 0.018)
        for a in (-0.036, 0.0, 0.036)
    ]
    palm = union(
        [
            capsule(_on_arm(0.38), _on_arm(0.44), 0.034),
            ellipsoid(_on_arm(0.475), (0.055, 0.026, 0.05), np.stack([_ARM, np.array([1.0, 0, 0]), _ACROSS])),
            *fingers,
            capsule(_on_arm(0.455, 0.03, 0.012), _on_arm(0.495, 0.085, 0.028), 0.021, 0.018),
        ],
        0.014,
    )
    skull = union(
        [
            ellipsoid((0.0, 0, 1.285), (0.19, 0.188, 0.205)),
            mirrored(ellipsoid((0.075, 0.075, 1.195), (0.095, 0.09, 0.085))),
            ellipsoid((0.07, 0, 1.145), (0.09, 0.09, 0.06)),
            mirrored(ellipsoid((-0.015, 0.19, 1.245), (0.034, 0.026, 0.05))),
            capsule((0, 0, 0.98), (0.005, 0, 1.12), 0.06),
        ],
        0.06,
    )
    hair = union(
        [
            ellipsoid((-0.035, 0, 1.335), (0.20, 0.207, 0.19)),
            ellipsoid((0.085, 0.06, 1.435), (0.12, 0.15, 0.07), axes_along((0.75, 0.25, -0.55))),
            ellipsoid((0.10, -0.075, 1.43), (0.10, 0.11, 0.055), axes_along((0.8, -0.35, -0.5))),
            rope([(-0.01, 0.0, 1.50), (-0.03, 0.01, 1.57), (0.02, 0.02, 1.60)], [0.045, 0.03, 0.014], 0.03),
            rope(
                [(-0.19, 0, 1.42), (-0.30, 0, 1.40), (-0.37, 0, 1.27), (-0.38, 0, 1.12), (-0.33, 0, 1.0)],
                [0.05, 0.07, 0.078, 0.06, 0.018],
                0.06,
            ),
        ],
        0.03,
    )
    return {
        "trousers": union([ellipsoid((0.0, 0, 0.585), (0.118, 0.145, 0.10)), mirrored(leg)], 0.035),
        "jumper": union([trunk, mirrored(sleeve)], 0.06),
        "shoes": mirrored(shoe),
        "hands": mirrored(palm),
        "head": union([skull, ellipsoid((0.197, 0, 1.225), (0.032, 0.03, 0.028))], 0.025),
        "hair": hair,
    }


_PARTS = _make_parts()


def _shape() -> Shape:
    dressed = union([union([_PARTS["trousers"], _PARTS["jumper"]], 0.02), _PARTS["shoes"], _PARTS["hands"]], 0.014)
    head = union([_PARTS["head"], _PARTS["hair"]], 0.012)
    eyes = mirrored(ellipsoid(_EYE, (0.04, 0.04, 0.046)))
    return union([union([dressed, head], 0.012), eyes], 0.006)


def _skeleton() -> Skeleton:
    rows: list[Bone] = [
        ("pelvis", None, (0, 0, 0.60), (0, 0, 0.70), 0.14),
        ("spine", "pelvis", (0, 0, 0.70), (0, 0, 0.83), 0.14),
        ("chest", "spine", (0, 0, 0.83), (0, 0, 1.0), 0.145),
        ("neck", "chest", (0, 0, 1.0), (0, 0, 1.09), 0.15),
        ("head", "neck", (0, 0, 1.10), (0.0, 0, 1.44), 0.19),
        ("hair_1", "head", (-0.24, 0, 1.42), (-0.36, 0, 1.30), 0.07),
        ("hair_2", "hair_1", (-0.36, 0, 1.29), (-0.34, 0, 1.0), 0.07),
    ]
    for side, y in (("left", 1.0), ("right", -1.0)):
        mirror = np.array([1.0, y, 1.0])
        shoulder, elbow, wrist, tip = (_on_arm(a) * mirror for a in (0.02, 0.22, 0.415, 0.58))
        rows += [
            (f"arm_{side}", "chest", shoulder, elbow, 0.065),
            (f"forearm_{side}", f"arm_{side}", elbow, wrist, 0.058),
            (f"hand_{side}", f"forearm_{side}", wrist, tip, 0.05),
            (f"thigh_{side}", "pelvis", (0, 0.084 * y, 0.555), (0.012, 0.092 * y, 0.34), 0.082),
            (f"shin_{side}", f"thigh_{side}", (0.012, 0.092 * y, 0.34), (0, 0.098 * y, 0.10), 0.07),
            (f"foot_{side}", f"shin_{side}", (0.0, 0.098 * y, 0.095), (0.14, 0.108 * y, 0.045), 0.06),
        ]
    return build_skeleton(rows)


_SKELETON = _skeleton()


def _pose(time: float) -> Float[np.ndarray, "b 4 4"]:
    turn = rotation
    slow = 2 * np.pi * time / _DURATION
    step = 3 * slow  # six steps in the clip
    wave = 6 * slow
    # Clockwise, against an orbiting camera, which would otherwise see the same side all the time; slower while a foot
    # is in the air, as steps are.
    yaw = 5 * np.sin(2 * step) - 360 * time / _DURATION
    lift = {"left": max(0.0, np.sin(step)) ** 1.5, "right": max(0.0, -np.sin(step)) ** 1.5}
    rotations = {
        "pelvis": turn("z", yaw) @ turn("x", 2.5 * np.sin(step)),
        "spine": turn("x", -3 * np.sin(step)) @ turn("z", 4 * np.sin(step)),
        "chest": turn("x", -2.5 * np.sin(step)) @ turn("y", 2 * np.sin(wave)),
        "neck": turn("z", 8 * np.sin(slow)) @ turn("x", 4 * np.sin(2 * slow)),
        "head": turn("z", 8 * np.sin(slow)) @ turn("x", 5 * np.sin(2 * slow)) @ turn("y", 3 * np.sin(step)),
        "hair_1": turn("x", 9 * np.sin(2 * step - 0.7)) @ turn("y", 9 + 7 * np.cos(2 * step)),
        "hair_2": turn("x", 13 * np.sin(2 * step - 1.6)) @ turn("y", 6 * np.cos(2 * step - 0.9)),
        "arm_right": turn("x", -54 + 7 * np.sin(wave - 0.5)) @ turn("y", -5),
        "forearm_right": turn("x", -36 + 24 * np.sin(wave)),
        "hand_right": turn("x", 16 * np.sin(wave - 0.9)),
        "arm_left": turn("y", 16 * np.sin(step)) @ turn("x", -40 + 4 * np.sin(2 * step)),
        "forearm_left": turn("x", 9) @ turn("y", -14 + 8 * np.sin(step)),
        "hand_left": turn("y", 6 * np.sin(step - 0.5)),
    }
    for side in ("left", "right"):
        up = lift[side]
        rotations[f"thigh_{side}"] = turn("y", -40 * up)
        rotations[f"shin_{side}"] = turn("y", 66 * up)
        rotations[f"foot_{side}"] = turn("y", -14 * up)
    return _SKELETON.pose(rotations, (0.0, 0.0, -_GROUND + 0.006 * np.cos(2 * step)))


def _paint(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    x, y, z = p.T
    distances = {name: part(p) for name, part in _PARTS.items()}
    colors = _skin(p)
    makers = {"trousers": _denim, "jumper": _knit, "shoes": _leather, "hair": _hair}
    for name, maker in makers.items():
        others = np.min([d for n, d in distances.items() if n != name], axis=0)
        amount = paint.soft_step(0.003, -0.003, distances[name] - others)
        some = amount > 0
        colors[some] = paint.over(colors[some], maker(p[some]), amount[some])
    mirrored_points = np.stack([x, np.abs(y), z], -1)
    colors = paint.eye(colors, mirrored_points, _EYE, _LOOK, 0.043, (0.22, 0.48, 0.33), 0.42, 0.78)
    return np.clip(colors, 0, 1)


def _skin(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    step, over = paint.soft_step, paint.over
    x, y, z = p.T
    side = np.abs(y)
    q = np.stack([x, side, z], -1)
    skin = paint.flat((0.94, 0.72, 0.58), p) * paint.grain(p, 14, 0.12, 3)[:, None]
    cheek = np.linalg.norm(q - np.array([0.155, 0.115, 1.195]), axis=-1)
    skin = over(skin, (0.93, 0.45, 0.40), 0.6 * step(0.075, 0.01, cheek))
    nose = np.linalg.norm(p - np.array([0.215, 0, 1.225]), axis=-1)
    skin = over(skin, (0.92, 0.50, 0.43), 0.5 * step(0.045, 0.02, nose))
    face = step(0.06, 0.10, x) * step(0.075, 0.05, np.abs(z - 1.215))
    skin = over(skin, (0.62, 0.33, 0.20), 0.75 * face * paint.spots(p, 42, 0.36, 5))
    skin = over(skin, (0.85, 0.50, 0.40), 0.5 * paint.spots(p, 24, 0.3, 6) * (z < 1.0))
    smile = np.abs(z - 1.142 - 3.2 * side**2)
    skin = over(skin, (0.55, 0.14, 0.15), step(0.0105, 0.006, smile) * step(0.082, 0.07, side) * step(0.08, 0.1, x))
    brow = np.abs(z - 1.35 + 3.0 * (side - 0.085) ** 2)
    brow = step(0.013, 0.008, brow) * step(0.052, 0.044, np.abs(side - 0.085)) * step(0.1, 0.12, x)
    return over(skin, (0.36, 0.16, 0.07), brow)


def _hair(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    from_crown = p - np.array([-0.05, 0, 1.50])
    around = np.arctan2(p[:, 1], p[:, 0] + 0.05)
    flow = paint.strands(np.stack([0.2 * around, 0.35 * p[:, 2], 0 * around], -1), (0, 1, 0), 75, 5, 9)
    shade = 1 + 0.5 * flow + 0.25 * fractal_noise(p * 11, 4, 12) + 0.25 * fractal_noise(from_crown * 45, 2, 13)
    colors = paint.flat((0.58, 0.25, 0.09), p) * shade[:, None]
    ribbon = np.abs(np.linalg.norm(p - np.array([-0.23, 0, 1.41]), axis=-1) - 0.05)
    band = paint.soft_step(0.022, 0.017, np.abs(p[:, 0] + 0.238)) * (p[:, 2] > 1.3)
    return paint.over(colors, (0.10, 0.42, 0.62), band * (ribbon < 0.08))


_YARNS = np.array([[0.93, 0.88, 0.76], [0.84, 0.24, 0.18], [0.95, 0.68, 0.18], [0.20, 0.58, 0.62], [0.60, 0.80, 0.45]])


def _knit(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Rows of yarn; bands of diamonds, zigzags and dots whose sizes and colours change around the body."""
    step, over = paint.soft_step, paint.over
    x, y, z = p.T
    q = np.stack([x, np.abs(y), z], -1)
    along = (q - _SHOULDER) @ _ARM
    on_arm = (along > 0.055) & (np.abs(y) > 0.15)
    # u runs around the body or the arm, v along it, both in scene units.
    around_arm = np.arctan2(x, (q - _SHOULDER) @ _ACROSS) * 0.06
    u = np.where(on_arm, around_arm + 3.0 * np.sign(y), np.arctan2(y, x) * 0.14)
    v = np.where(on_arm, along + 0.6, z)
    u = u + 0.006 * gradient_noise(p * 14, 4)
    v = v + 0.005 * gradient_noise(p * 12, 5)
    row = np.floor(v / 0.058).astype(np.int64)
    across = v / 0.058 - row
    cell = np.floor(u / 0.041).astype(np.int64)
    pick = cell_noise(np.stack([row * 1.0, cell * 1.0, 0.5 + on_arm], -1), 77)[2]
    motif_color = _YARNS[(pick * 977).astype(np.int64) % 5]
    du, dv = np.abs(u / 0.041 - cell - 0.5), np.abs(across - 0.5)
    size = 0.24 + 0.22 * pick
    diamond = step(0.04, -0.04, du + dv - size)
    dot = step(0.04, -0.04, np.hypot(du, dv) - 0.8 * size)
    zigzag = step(0.05, 0.0, np.abs(across - 0.25 - du) - 0.13)
    motif = np.choose(row % 3, [diamond, zigzag, dot])
    ground = np.array([[0.10, 0.27, 0.42], [0.13, 0.36, 0.47], [0.08, 0.20, 0.36]])[row % 3]
    colors = over(ground, motif_color, motif)
    cuff = np.where(on_arm, step(0.365, 0.37, along), np.maximum(step(0.645, 0.64, z), step(1.035, 1.045, z)))
    ribs = 0.5 + 0.5 * np.sin(u * 2 * np.pi / 0.02)
    colors = over(colors, np.outer(0.7 + 0.3 * ribs, (0.84, 0.26, 0.18)), cuff)
    slanted = v + 0.007 * np.abs((u / 0.010) % 1 - 0.5)
    stitches = np.sin(slanted * 2 * np.pi / 0.0125) * np.cos(u * 2 * np.pi / 0.0105)
    return colors * (paint.grain(p, 10, 0.28, 41) * (1 + 0.10 * stitches))[:, None]


def _denim(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    step, over = paint.soft_step, paint.over
    x, y, z = p.T
    weave = 0.07 * np.sin((x + y + 2 * z) * 420) + 0.5 * fractal_noise(p * 11, 5, 51, gain=0.75)
    colors = paint.flat((0.27, 0.34, 0.52), p) * (1 + weave)[:, None]
    worn = step(0.16, 0.0, np.abs(z - 0.36)) * step(0.03, 0.07, x) + 0.8 * step(0.05, 0.4, fractal_noise(p * 9, 4, 52))
    colors = over(colors, (0.55, 0.64, 0.78), 0.55 * np.clip(worn, 0, 1))
    seam = step(0.006, 0.003, np.abs(x + 0.01)) * (np.sin(z * 300) > -0.3) * (np.abs(y) > 0.1)
    colors = over(colors, (0.85, 0.55, 0.18), seam)
    patch = step(0.036, 0.033, np.maximum(np.abs(y - 0.095), np.abs(z - 0.345))) * (x > 0.02)
    squares = np.where((np.floor(y / 0.012) + np.floor(z / 0.012)) % 2 < 1, 1.0, 0.55)
    colors = over(colors, np.outer(squares, (0.86, 0.30, 0.22)), patch)
    first, _, label = cell_noise(p * 13, 53)
    paints = np.array([[0.95, 0.88, 0.70], [0.90, 0.45, 0.25], [0.45, 0.75, 0.70]])[(label * 997).astype(np.int64) % 3]
    blot = 0.14 + 0.2 * (label * 31 % 1) + 0.12 * fractal_noise(p * 40, 2, 54)
    colors = over(colors, paints, 0.85 * step(0.03, -0.02, first - blot) * (label > 0.45))
    return over(colors, (0.18, 0.22, 0.36), 0.8 * step(0.15, 0.145, z))


def _leather(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    step, over = paint.soft_step, paint.over
    x, y, z = p.T
    colors = paint.flat((0.80, 0.20, 0.14), p) * paint.grain(p, 22, 0.30, 61)[:, None]
    colors = over(colors, (0.95, 0.93, 0.88), step(0.115, 0.122, x + 0.1 * z) * step(0.018, 0.024, z))
    colors = over(colors, (0.96, 0.94, 0.88), step(0.029, 0.026, z))
    laces = (np.sin(x * 230) > 0.2) & (np.abs(np.abs(y) - 0.105) < 0.03) & (z > 0.07) & (x > 0.03)
    colors = over(colors, (0.97, 0.95, 0.9), laces * 1.0)
    star = np.linalg.norm(np.stack([x + 0.01, z - 0.06], -1), axis=-1)
    return over(colors, (0.98, 0.85, 0.3), step(0.022, 0.018, star))
