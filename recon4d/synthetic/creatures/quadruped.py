"""A fox that walks: feet planted by two-bone reaching, tail and ears swinging along, head looking around."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from recon4d.synthetic import paint
from recon4d.synthetic.creature import Creature, Rig
from recon4d.synthetic.noise import fractal_noise
from recon4d.synthetic.shapes import Shape, axes_along, carve, ellipsoid, mirrored, rope, union
from recon4d.synthetic.skeleton import Bone, Skeleton, build_skeleton, rotation, smooth_weights, two_bone_reach
from recon4d.synthetic.surface import mesh_shape

_DURATION = 2.4
_STEP = 0.8  # seconds of one whole cycle of the legs
_STRIDE = 0.22  # distance walked in one cycle
_STANCE = 0.62  # share of the cycle during which a foot stands on the ground
_GROUND = 0.62  # the ground lies this far below the origin
_EYE = np.array([0.665, 0.094, 0.90])
_LOOK = np.array([0.68, 0.72, 0.12])


def quadruped(detail: float = 1.0) -> Creature:
    """The fox; see `creature` for `detail`."""
    vertices, faces = mesh_shape(_shape(), (-1.2, -0.42, -0.06), (1.06, 0.42, 1.34), 0.0185 / detail)
    indices, weights = smooth_weights(_SKELETON, vertices, faces, width=0.04)
    return Creature("quadruped", vertices, faces, _paint, _DURATION, rig=Rig(_SKELETON, indices, weights, _pose))


def _shape() -> Shape:
    torso = union(
        [
            ellipsoid((0.24, 0, 0.60), (0.24, 0.155, 0.20)),
            ellipsoid((-0.05, 0, 0.60), (0.30, 0.13, 0.155)),
            ellipsoid((-0.34, 0, 0.61), (0.20, 0.145, 0.175)),
            rope([(0.30, 0, 0.66), (0.46, 0, 0.78), (0.56, 0, 0.87)], [0.13, 0.115, 0.10], 0.05),
            ellipsoid((0.43, 0, 0.64), (0.10, 0.09, 0.14), axes_along((0.75, 0, -0.65))),
        ],
        0.12,
    )
    head = union(
        [
            ellipsoid((0.59, 0, 0.90), (0.155, 0.145, 0.135)),
            mirrored(ellipsoid((0.60, 0.095, 0.84), (0.10, 0.075, 0.075))),
            rope([(0.66, 0, 0.845), (0.80, 0, 0.815), (0.875, 0, 0.805)], [0.085, 0.052, 0.036], 0.04),
        ],
        0.07,
    )
    nose = ellipsoid((0.905, 0, 0.818), (0.026, 0.03, 0.024))
    eyes = mirrored(ellipsoid(_EYE, (0.042, 0.042, 0.042)))
    ear = carve(
        ellipsoid((0.535, 0.105, 1.06), (0.145, 0.072, 0.042), axes_along((-0.12, 0.30, 0.95))),
        ellipsoid((0.585, 0.118, 1.07), (0.105, 0.045, 0.04), axes_along((-0.12, 0.30, 0.95))),
        0.02,
    )
    tail = rope(
        [(-0.50, 0, 0.66), (-0.62, 0, 0.62), (-0.76, 0, 0.60), (-0.92, 0, 0.66), (-1.06, 0, 0.78)],
        [0.05, 0.07, 0.105, 0.09, 0.022],
        0.10,
    )
    front = union(
        [
            ellipsoid((0.27, 0.095, 0.52), (0.085, 0.06, 0.16)),
            rope([(0.27, 0.105, 0.46), (0.245, 0.105, 0.30), (0.26, 0.105, 0.08)], [0.068, 0.048, 0.037], 0.05),
            ellipsoid((0.29, 0.105, 0.042), (0.072, 0.047, 0.042)),
        ],
        0.06,
    )
    hind = union(
        [
            ellipsoid((-0.36, 0.10, 0.52), (0.125, 0.07, 0.165)),
            rope(
                [(-0.34, 0.11, 0.44), (-0.30, 0.11, 0.34), (-0.43, 0.11, 0.20), (-0.40, 0.11, 0.07)],
                [0.085, 0.062, 0.036, 0.036], 0.05,
            ),
            ellipsoid((-0.365, 0.11, 0.042), (0.075, 0.048, 0.042)),
        ],
        0.06,
    )  # fmt: skip
    body = union([torso, tail], 0.05)
    body = union([body, mirrored(front), mirrored(hind)], 0.05)
    body = union([body, head], 0.06)
    body = union([body, mirrored(ear)], 0.045)
    return union([union([body, nose], 0.012), eyes], 0.006)


def _skeleton() -> Skeleton:
    rows: list[Bone] = [
        ("pelvis", None, (-0.30, 0, 0.62), (-0.44, 0, 0.62), 0.17),
        ("spine", "pelvis", (-0.18, 0, 0.62), (0.06, 0, 0.62), 0.15),
        ("chest", "spine", (0.06, 0, 0.62), (0.32, 0, 0.62), 0.19),
        ("neck", "chest", (0.34, 0, 0.70), (0.52, 0, 0.82), 0.11),
        ("head", "neck", (0.53, 0, 0.85), (0.88, 0, 0.83), 0.13),
        ("tail_1", "pelvis", (-0.52, 0, 0.65), (-0.68, 0, 0.61), 0.08),
        ("tail_2", "tail_1", (-0.68, 0, 0.61), (-0.84, 0, 0.62), 0.10),
        ("tail_3", "tail_2", (-0.84, 0, 0.62), (-1.06, 0, 0.78), 0.09),
    ]
    for side, y in (("left", 1.0), ("right", -1.0)):
        rows += [
            (f"ear_{side}", "head", (0.55, 0.085 * y, 1.0), (0.515, 0.15 * y, 1.20), 0.06),
            (f"arm_{side}", "chest", (0.27, 0.10 * y, 0.53), (0.245, 0.105 * y, 0.30), 0.06),
            (f"forearm_{side}", f"arm_{side}", (0.245, 0.105 * y, 0.30), (0.26, 0.105 * y, 0.08), 0.045),
            (f"paw_{side}", f"forearm_{side}", (0.26, 0.105 * y, 0.075), (0.32, 0.105 * y, 0.04), 0.045),
            (f"thigh_{side}", "pelvis", (-0.36, 0.11 * y, 0.52), (-0.30, 0.11 * y, 0.34), 0.075),
            (f"shin_{side}", f"thigh_{side}", (-0.30, 0.11 * y, 0.34), (-0.43, 0.11 * y, 0.20), 0.05),
            (f"hock_{side}", f"shin_{side}", (-0.43, 0.11 * y, 0.20), (-0.40, 0.11 * y, 0.07), 0.036),
            (f"foot_{side}", f"hock_{side}", (-0.40, 0.11 * y, 0.065), (-0.33, 0.11 * y, 0.04), 0.045),
        ]
    return build_skeleton(rows)


_SKELETON = _skeleton()
# A walk's order: left hind, left fore, right hind, right fore, a quarter of a cycle apart.
_LEGS = (("hind", "left", 0.0), ("fore", "left", 0.75), ("hind", "right", 0.5), ("fore", "right", 0.25))


def _pose(time: float) -> Float[np.ndarray, "b 4 4"]:
    cycle = time / _STEP
    wave = 2 * np.pi * cycle
    slow = 2 * np.pi * time / _DURATION
    travel = _STRIDE * (cycle - 0.5 * _DURATION / _STEP)
    root = (travel, 0.012 * np.sin(wave), 0.008 * np.cos(2 * wave) - 0.03 - _GROUND)
    turn = rotation
    rotations = {
        "pelvis": turn("z", 4 * np.sin(wave)) @ turn("x", 2.5 * np.sin(wave + 0.6)),
        "spine": turn("z", -4 * np.sin(wave)),
        "chest": turn("z", -3.5 * np.sin(wave)) @ turn("x", -2 * np.sin(wave)) @ turn("y", 1.5 * np.sin(2 * wave)),
        "neck": turn("z", 9 * np.sin(slow)) @ turn("y", 3 * np.sin(2 * wave + 0.7)),
        "head": turn("z", 17 * np.sin(slow - 0.3))
        @ turn("x", 7 * np.sin(slow + 1.0))
        @ turn("y", 2 - 3 * np.sin(2 * wave)),
        "tail_1": turn("z", 16 * np.sin(wave)) @ turn("y", 6 * np.sin(slow)),
        "tail_2": turn("z", 15 * np.sin(wave - 0.9)) @ turn("y", -5 * np.sin(slow - 0.5)),
        "tail_3": turn("z", 16 * np.sin(wave - 1.8)),
        "ear_left": turn("z", 14 * np.sin(slow * 3)) @ turn("x", -5 + 5 * np.sin(2 * wave)),
        "ear_right": turn("z", 14 * np.sin(slow * 2 + 1)) @ turn("x", 5 - 5 * np.sin(2 * wave)),
    }
    frames = _SKELETON.pose(rotations, root)
    for kind, side, offset in _LEGS:
        ahead, lift, push = _foot(cycle + offset)
        _reach(rotations, frames, kind, side, np.array([travel + ahead, 0.0, lift - _GROUND]), push)
    return _SKELETON.pose(rotations, root)


def _foot(cycle: float) -> tuple[float, float, float]:
    """Where a foot is in its cycle: distance ahead of its rest place, height, and how far the heel is up (0 to 1)."""
    phase = cycle % 1.0
    span = _STRIDE * _STANCE
    if phase < _STANCE:
        s = phase / _STANCE
        return span * (0.5 - s), 0.0, max(0.0, s - 0.7) / 0.3 * 0.6
    s = (phase - _STANCE) / (1 - _STANCE)
    # Leaves and meets the ground at the ground's own speed, so that nothing jerks.
    ease = s - (1 + (1 - _STANCE) / _STANCE) * np.sin(2 * np.pi * s) / (2 * np.pi)
    heel = 0.6 * np.cos(np.pi * s / 2) ** 2 + 0.5 * np.sin(np.pi * s)
    return span * (ease - 0.5), 0.075 * np.sin(np.pi * s) ** 2, heel


def _reach(
    rotations: dict[str, Float[np.ndarray, "3 3"]], frames: Float[np.ndarray, "b 4 4"], kind: str, side: str,
    shift: Float[np.ndarray, "3"], push: float,
) -> None:  # fmt: skip
    """Sets a leg's rotations so that its foot is `shift` away from its rest place, in the world."""
    names = ["arm", "forearm", "paw"] if kind == "fore" else ["thigh", "shin", "hock", "foot"]
    chain = [_SKELETON.index(f"{n}_{side}") for n in names]
    heads = _SKELETON.heads
    parent = _SKELETON.parents[chain[0]]
    rotation_in_world, position = frames[parent][:3, :3], frames[parent][:3, 3]
    target = rotation_in_world.T @ (heads[chain[-1]] + shift - position) + heads[parent]
    heel = 0.0
    if kind == "hind":
        heel = 38 * push
        target = target - rotation("y", heel) @ (heads[chain[3]] - heads[chain[2]])
    first, second = two_bone_reach(heads[chain[0]], heads[chain[1]], heads[chain[2]], target)
    angles = [first, second]
    if kind == "hind":
        angles.append(heel - first - second)
    # The last bone keeps its angle to the ground but for the toes trailing while the heel is up.
    angles.append((22 if kind == "hind" else 45) * push - sum(angles))
    for name, angle in zip(names, angles, strict=True):
        rotations[f"{name}_{side}"] = rotation("y", angle)


def _paint(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    step, over = paint.soft_step, paint.over
    x, y, z = p.T
    side = np.abs(y)
    rough = fractal_noise(p * 9, 4, 1)
    ragged = 0.035 * rough
    colors = paint.flat((0.86, 0.45, 0.15), p)
    back = step(0.06, 0.16, z - 0.58 - 0.35 * side + ragged) * step(0.6, 0.35, x) * step(-1.0, -0.4, x + 0.3 * z)
    colors = over(colors, (0.60, 0.24, 0.07), 0.75 * back)
    # Brindle: dark bars that branch and end, across the back and the tail.
    bars = np.sin(34 * (x + 0.05 * fractal_noise(p * 5, 3, 2)) + 7 * fractal_noise(p * 3, 3, 3))
    barred = step(0.45, 0.8, bars + 0.5 * rough) * step(0.42, 0.62, z) * step(0.50, 0.38, x)
    colors = over(colors, (0.34, 0.13, 0.05), 0.8 * barred)
    cream = (0.97, 0.92, 0.82)
    belly = step(0.02, -0.05, z - 0.50 + 0.5 * (side - 0.1) + ragged) * step(0.36, 0.42, z) * step(0.14, 0.10, side)
    chest = step(0.02, -0.05, side - 0.11 + 1.5 * ragged) * step(0.40, 0.46, x + 0.3 * (0.7 - z)) * step(0.84, 0.78, z)
    cheek = step(0.0, 0.04, 0.845 - z + 0.12 * (x - 0.6) + 0.3 * (side - 0.05) + 0.5 * ragged) * step(0.52, 0.58, x)
    tip = step(-0.88, -0.95, x + 2.2 * ragged)
    for part in (belly, chest, cheek * step(0.66, 0.72, z), tip):
        colors = over(colors, cream, part)
    legs = step(0.24, 0.15, z + 2 * ragged) * step(0.62, 0.5, np.abs(x + 0.05))
    colors = over(colors, (0.17, 0.10, 0.08), legs)
    inner = step(0.0, 0.012, x - 0.555 + 0.11 * (z - 1.0)) * step(0.055, 0.03, np.abs(side - 0.118 - 0.3 * (z - 1.07)))
    inner = inner * step(1.0, 1.05, z) * step(1.18, 1.12, z)
    colors = over(colors, (0.93, 0.74, 0.66), inner)
    colors = over(colors, (0.16, 0.09, 0.07), step(1.12, 1.17, z + ragged))
    # Freckles, the mouth, the bridge of the nose.
    colors = over(colors, (0.45, 0.2, 0.09), 0.55 * paint.spots(p, 26, 0.42, 11) * step(0.45, 0.6, z) * (1 - tip))
    mouth = step(0.007, 0.003, np.abs(z - 0.792 + 0.25 * (side - 0.02))) * step(0.74, 0.77, x) * step(0.07, 0.055, side)
    colors = over(colors, (0.12, 0.06, 0.05), mouth)
    bridge = step(0.03, 0.012, side) * step(0.66, 0.74, x) * step(0.835, 0.85, z)
    colors = over(colors, (0.55, 0.24, 0.09), 0.6 * bridge)
    fur = paint.strands(p, (0.9, 0, -0.25), 95, 4, 21)
    colors = colors * (paint.grain(p, 12, 0.28, 31) + 0.34 * fur)[:, None]
    nose = step(0.036, 0.03, np.linalg.norm(p - np.array([0.905, 0, 0.818]), axis=-1))
    colors = over(colors, (0.06, 0.05, 0.06), nose)
    shine = step(0.016, 0.008, np.linalg.norm(p - np.array([0.918, 0.008, 0.838]), axis=-1))
    colors = over(colors, (0.75, 0.75, 0.8), shine)
    mirrored = np.stack([x, side, z], -1)
    colors = paint.eye(colors, mirrored, _EYE, _LOOK, 0.042, (0.86, 0.55, 0.12), 0.42, 0.82)
    return np.clip(colors, 0, 1)
