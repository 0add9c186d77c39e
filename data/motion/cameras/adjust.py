"""Bundle adjustment for subjects that bend: robust per observation and per track, with a smooth path.

Poses, points and one focal length minimise reprojection errors under Geman and McClure's function, whose scale falls
from coarse to fine (graduated non-convexity, Blake and Zisserman 1987), so that points of limbs and wrong matches lose
their weight step by step, while those of the largest part that keeps its shape decide.  Each track carries a second
weight of the same form for its error over its whole life, as a limb fits for a while anywhere.  Points are eliminated
(Schur complement); steps are Levenberg and Marquardt's.  Does NOT find observations or a start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.transform import Rotation

_NEAR = 1e-3
_FOCAL_SPREAD = 0.3  # Of the logarithm of the focal length about what is assumed.


@dataclass(frozen=True, eq=False)
class Observations:
    """Where points were seen.

    Attributes:
        frames: [M] row of the pose.
        points: [M] row of the point.
        positions: [M, 2] pixels from the principal point.
    """

    frames: Int64[np.ndarray, " m"]
    points: Int64[np.ndarray, " m"]
    positions: Float64[np.ndarray, "m 2"]


@dataclass(frozen=True, eq=False)
class Bundle:
    """What is adjusted.

    Attributes:
        cam_from_world: [T, 4, 4].
        points: [N, 3] in the world.
        focal: pixels.
        errors: [M] of each observation, pixels.
        trust: [N] weight of each point in the last round, 0 to 1: near 0 for points that do not keep their place.
    """

    cam_from_world: Float64[np.ndarray, "t 4 4"]
    points: Float64[np.ndarray, "n 3"]
    focal: float
    errors: Float64[np.ndarray, " m"]
    trust: Float64[np.ndarray, " n"]


@dataclass(frozen=True)
class AdjustSettings:
    """How to adjust.

    Attributes:
        scales: of the robust function, pixels, one round for each.
        steps: at most so many in each round.
        smooth_degrees: usual change of the turn from one frame to the next; larger is looser.
        smooth_share: usual change of the shift, as a share of the distance.
        solve_focal: adjust it too.
        focal_weight: how many observations the assumed focal length counts for.
    """

    scales: tuple[float, ...] = (16.0, 8.0, 4.0, 2.0, 1.5)
    steps: int = 12
    smooth_degrees: float = 2.0
    smooth_share: float = 0.01
    solve_focal: bool = True
    focal_weight: float = 3.0


def triangulated(
    cam_from_world: Float64[np.ndarray, "t 4 4"], focal: float, seen: Observations, count: int
) -> Float64[np.ndarray, "n 3"]:
    """[N, 3] points nearest to their rays; rays that are parallel give a point at the world's origin's depth."""
    rotation, shift = cam_from_world[seen.frames, :3, :3], cam_from_world[seen.frames, :3, 3]
    ray = np.concatenate([seen.positions / focal, np.ones((len(seen.frames), 1))], 1)
    ray = np.einsum("mji,mj->mi", rotation, ray / np.linalg.norm(ray, axis=1, keepdims=True))
    center = -np.einsum("mji,mj->mi", rotation, shift)
    across = np.eye(3) - ray[:, :, None] * ray[:, None, :]
    # A slight pull to the origin keeps nearly parallel rays from meeting anywhere.
    pull = 1e-4
    matrix, right = np.zeros((count, 3, 3)), np.zeros((count, 3))
    np.add.at(matrix, seen.points, across + pull * np.eye(3))
    np.add.at(right, seen.points, np.einsum("mij,mj->mi", across, center))
    matrix[np.bincount(seen.points, minlength=count) == 0] = np.eye(3)
    return np.asarray(np.linalg.solve(matrix, right[:, :, None])[:, :, 0])


def adjust(
    start: Bundle, seen: Observations, times: Float64[np.ndarray, " t"], assumed: float, settings: AdjustSettings
) -> Bundle:
    """Minimise; `times` are those of the poses, in frames, and `assumed` is the focal length to stay near to."""
    state = start
    for scale in settings.scales:
        state = _round(state, seen, times, assumed, scale, settings)
    return state


def _project(
    state: Bundle, seen: Observations
) -> tuple[Float64[np.ndarray, "m 2"], Float64[np.ndarray, "m 3"], Float64[np.ndarray, " m"]]:
    """Residuals, points in their cameras, depths."""
    pose = state.cam_from_world[seen.frames]
    at = np.einsum("mij,mj->mi", pose[:, :3, :3], state.points[seen.points]) + pose[:, :3, 3]
    depth = np.maximum(at[:, 2], _NEAR)
    return state.focal * at[:, :2] / depth[:, None] - seen.positions, at, depth


def _weights(
    residual: Float64[np.ndarray, "m 2"], seen: Observations, count: int, scale: float
) -> tuple[Float64[np.ndarray, " m"], Float64[np.ndarray, " n"]]:
    """Of observations, and of tracks among them."""
    square = (residual**2).sum(1)
    number = np.maximum(np.bincount(seen.points, minlength=count), 1)
    # The mean of clipped squares: one bad observation must not cost the track.
    mean = np.bincount(seen.points, np.minimum(square, 9 * scale**2), minlength=count) / number
    track = 1 / (1 + mean / scale**2) ** 2
    return track[seen.points] / (1 + square / scale**2) ** 2, track


def _cost(state: Bundle, seen: Observations, weight: Float64[np.ndarray, " m"], prior: _Prior) -> float:
    residual, _, _ = _project(state, seen)
    return float((weight * (residual**2).sum(1)).sum()) + prior.cost(state)


@dataclass(frozen=True, eq=False)
class _Prior:
    """A smooth path, and a focal length near the assumed one."""

    times: Float64[np.ndarray, " t"]
    assumed: float
    turn: float
    shift: float
    focal: float

    def residuals(self, state: Bundle) -> tuple[Float64[np.ndarray, "s 3"], Float64[np.ndarray, "s 3"]]:
        step = np.diff(self.times)[:, None]
        rotation = Rotation.from_matrix(state.cam_from_world[:, :3, :3])
        turn = (rotation[:-1].inv() * rotation[1:]).as_rotvec() / step
        shift = np.diff(state.cam_from_world[:, :3, 3], axis=0) / step
        return np.diff(turn, axis=0), np.diff(shift, axis=0)

    def cost(self, state: Bundle) -> float:
        turn, shift = self.residuals(state)
        focal = self.focal * np.log(state.focal / self.assumed) ** 2
        return float(self.turn * (turn**2).sum() + self.shift * (shift**2).sum() + focal)

    def normal(self, state: Bundle) -> tuple[Float64[np.ndarray, "v v"], Float64[np.ndarray, " v"]]:
        """Normal matrix and gradient over [T * (turn, shift), focal]."""
        count = len(self.times)
        matrix, gradient = np.zeros((6 * count + 1, 6 * count + 1)), np.zeros(6 * count + 1)
        if count >= 3:
            first = np.diff(np.eye(count), axis=0) / np.diff(self.times)[:, None]
            second = np.diff(first, axis=0)
            square = second.T @ second
            for residual, weight, offset in zip(self.residuals(state), (self.turn, self.shift), (0, 3), strict=True):
                for k in range(3):
                    rows = np.arange(count) * 6 + offset + k
                    matrix[np.ix_(rows, rows)] += weight * square
                    gradient[rows] += weight * second.T @ residual[:, k]
        matrix[-1, -1] += self.focal
        gradient[-1] += self.focal * np.log(state.focal / self.assumed)
        return matrix, gradient


def _round(
    state: Bundle,
    seen: Observations,
    times: Float64[np.ndarray, " t"],
    assumed: float,
    scale: float,
    settings: AdjustSettings,
) -> Bundle:
    state = _centred(state)
    count = len(state.points)
    damping = 1e-3
    distance = float(np.median(np.linalg.norm(state.cam_from_world[:, :3, 3], axis=1)))
    prior = _Prior(
        times, assumed,
        (scale / np.radians(settings.smooth_degrees)) ** 2, (scale / (settings.smooth_share * distance)) ** 2,
        settings.focal_weight * (scale / _FOCAL_SPREAD) ** 2 if settings.solve_focal else 1e12,
    )  # fmt: skip
    for _ in range(settings.steps):
        residual, at, depth = _project(state, seen)
        weight, _ = _weights(residual, seen, count, scale)
        weight = np.where(at[:, 2] > _NEAR, weight, 0)
        before = float((weight * (residual**2).sum(1)).sum()) + prior.cost(state)
        system = _System(state, seen, residual, at, depth, weight, prior)
        for _ in range(6):
            moved = system.step(state, damping)
            after = _cost(moved, seen, weight, prior) if moved is not None else np.inf
            if after < before:
                break
            damping *= 8
        else:
            break
        assert moved is not None
        state, damping = moved, max(damping / 6, 1e-7)
        if before - after < 1e-4 * before:
            break
    residual, _, _ = _project(state, seen)
    _, trust = _weights(residual, seen, count, scale)
    return replace(state, errors=np.linalg.norm(residual, axis=1), trust=trust)


def _centred(state: Bundle) -> Bundle:
    """The same with the points' middle as origin and their usual distance from it as unit: steps are then sound."""
    weight = state.trust > 0.25 * state.trust.max()
    middle = np.median(state.points[weight], axis=0)
    size = max(float(np.median(np.linalg.norm(state.points[weight] - middle, axis=1))), 1e-12)
    poses = state.cam_from_world.copy()
    poses[:, :3, 3] = (poses[:, :3, :3] @ middle + poses[:, :3, 3]) / size
    return replace(state, cam_from_world=poses, points=(state.points - middle) / size)


class _System:
    """Normal equations at one state, ready to be solved for several dampings."""

    def __init__(
        self,
        state: Bundle,
        seen: Observations,
        residual: Float64[np.ndarray, "m 2"],
        at: Float64[np.ndarray, "m 3"],
        depth: Float64[np.ndarray, " m"],
        weight: Float64[np.ndarray, " m"],
        prior: _Prior,
    ) -> None:
        frames, count = len(state.cam_from_world), len(state.points)
        self.frames, self.count = frames, count
        rotation = state.cam_from_world[seen.frames, :3, :3]
        project = np.zeros((len(depth), 2, 3))
        project[:, 0, 0] = project[:, 1, 1] = state.focal / depth
        project[:, :, 2] = -state.focal * at[:, :2] / depth[:, None] ** 2
        by_point = project @ rotation
        x = state.points[seen.points]
        cross = np.zeros((len(x), 3, 3))
        cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -x[:, 2], x[:, 1], -x[:, 0]
        cross -= cross.transpose(0, 2, 1)
        # A turn w in the world's frame: R exp(w) x = R (x + w x x).
        by_pose = np.concatenate([-by_point @ cross, project], 2)
        by_focal = residual + seen.positions  # d/d log focal.
        root = np.sqrt(weight)[:, None]
        r, jf = residual * root, by_focal * root
        jx, jp = by_point * root[:, :, None], by_pose * root[:, :, None]
        size = 6 * frames + 1
        matrix, gradient = prior.normal(state)
        block = np.zeros((frames, 6, 6))
        np.add.at(block, seen.frames, jp.transpose(0, 2, 1) @ jp)
        edge, push = np.zeros((frames, 6)), np.zeros((frames, 6))
        np.add.at(edge, seen.frames, np.einsum("mki,mk->mi", jp, jf))
        np.add.at(push, seen.frames, np.einsum("mki,mk->mi", jp, r))
        for t in range(frames):
            matrix[6 * t : 6 * t + 6, 6 * t : 6 * t + 6] += block[t]
        matrix[:-1, -1] += edge.ravel()
        matrix[-1, :-1] += edge.ravel()
        matrix[-1, -1] += (jf**2).sum()
        gradient[:-1] += push.ravel()
        gradient[-1] += (jf * r).sum()
        self.matrix, self.gradient = matrix, gradient
        inner = np.zeros((count, 3, 3))
        np.add.at(inner, seen.points, jx.transpose(0, 2, 1) @ jx)
        self.inner_gradient = np.zeros((count, 3))
        np.add.at(self.inner_gradient, seen.points, np.einsum("mki,mk->mi", jx, r))
        self.inner = inner
        mixed = np.zeros((size, count, 3))
        rows = 6 * seen.frames[:, None] + np.arange(6)
        # Each point is seen once in a frame: no two observations share an entry.
        mixed[rows, seen.points[:, None]] = jp.transpose(0, 2, 1) @ jx
        np.add.at(mixed[-1], seen.points, np.einsum("mk,mki->mi", jf, jx))
        self.mixed = mixed

    def step(self, state: Bundle, damping: float) -> Bundle | None:
        """The state after one step, None where the equations have no solution."""
        diagonal = np.einsum("nii->ni", self.inner)
        inner = self.inner + np.einsum("ni,ij->nij", damping * diagonal + 1e-9, np.eye(3))
        inverse = np.linalg.inv(inner)
        half = np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2)
        size = len(self.gradient)
        wide = np.matmul(self.mixed.transpose(1, 0, 2), half).transpose(1, 0, 2).reshape(size, -1)
        matrix = self.matrix - wide @ wide.T
        matrix[np.diag_indices(size)] += damping * np.diag(self.matrix) + 1e-9
        middle = np.einsum("nij,nj->ni", inverse, self.inner_gradient)
        flat = self.mixed.reshape(size, -1)
        try:
            change = -cho_solve(cho_factor(matrix), self.gradient - flat @ middle.ravel())
        except (np.linalg.LinAlgError, ValueError):
            return None
        back = (flat.T @ change).reshape(-1, 3)
        points = state.points - middle - np.einsum("nij,nj->ni", inverse, back)
        pose = change[:-1].reshape(-1, 6)
        poses = state.cam_from_world.copy()
        poses[:, :3, :3] = poses[:, :3, :3] @ Rotation.from_rotvec(pose[:, :3]).as_matrix()
        poses[:, :3, 3] += pose[:, 3:]
        focal = state.focal * float(np.exp(np.clip(change[-1], -0.3, 0.3)))
        if not (np.isfinite(poses).all() and np.isfinite(points).all()):
            return None
        return replace(state, cam_from_world=poses, points=points, focal=focal)
