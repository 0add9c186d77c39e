"""One view of the scene at one moment: colour, coverage, depth, normals and optical flow.

Colour and coverage are averages over sub-pixel samples in display space, so that compositing the stored colour over any
background by the stored coverage equals having rendered over it.  Depth, normals and flow are those of the one ray
through the pixel's centre: they are never blends of two surfaces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from recon4d.core import Camera
from recon4d.synthetic.light import SUN_DIRECTION, shade, sky, towards_sun
from recon4d.synthetic.raycaster import MISS, Hits, RayCaster
from recon4d.synthetic.surface import face_cross
from recon4d.synthetic.texture import PatchTexture

SUBJECT, BACKGROUND = 0, 1
_COARSE, _FINE = 2, 4  # samples along each side of a pixel: everywhere, and where surfaces end
_DEPTH_STEP = 0.03  # relative step in depth that counts as the end of a surface
_LIFT = 1e-3  # how far above a surface shadow rays start, as a share of the distance to the camera


@dataclass(frozen=True, eq=False)
class MeshState:
    """A textured mesh at one moment: vertices and unit normals [V, 3], faces [F, 3]."""

    vertices: Float[np.ndarray, "v 3"]
    normals: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    texture: PatchTexture


class SceneState:
    """The subject and, behind it, the background (if any) at one moment, ready for rays."""

    def __init__(self, subject: MeshState, background: MeshState | None) -> None:
        self.meshes = [subject] if background is None else [subject, background]
        self.caster = RayCaster([(m.vertices, m.faces) for m in self.meshes])
        # All meshes as one, so that hits need not be sorted by mesh.
        self.vertices = np.concatenate([m.vertices for m in self.meshes])
        self.normals = np.concatenate([m.normals for m in self.meshes]).astype(np.float32)
        vertex_starts = np.cumsum([0, *(len(m.vertices) for m in self.meshes)])
        self._corners = np.concatenate([m.faces + s for m, s in zip(self.meshes, vertex_starts[:-1], strict=True)])
        self._face_starts = np.cumsum([0, *(len(m.faces) for m in self.meshes)])[:-1]
        cross = face_cross(self.vertices, self._corners)
        length = np.linalg.norm(cross, axis=-1, keepdims=True)
        self._face_normals = (cross / np.maximum(length, np.finfo(float).tiny)).astype(np.float32)

    def blend(self, values: Float[np.ndarray, "v 3"], hits: Hits) -> Float[np.ndarray, "n 3"]:
        """Per-vertex values of all meshes at the places that were hit; every ray must have hit something."""
        corners = self._corners[hits.face + self._face_starts[hits.mesh]]
        b = hits.barycentric.astype(values.dtype)
        out = values[corners[:, 0]] * b[:, :1]
        out += values[corners[:, 1]] * b[:, 1:2]
        out += values[corners[:, 2]] * b[:, 2:]
        return out

    def face_normals(self, hits: Hits) -> Float32[np.ndarray, "n 3"]:
        """Unit normals of the faces that were hit; every ray must have hit something."""
        return self._face_normals[hits.face + self._face_starts[hits.mesh]]

    def albedo(self, hits: Hits) -> Float32[np.ndarray, "n 3"]:
        """Display colours of the texture at the places that were hit."""
        if len(self.meshes) == 1:
            return self.meshes[SUBJECT].texture.color_at(hits.face, hits.barycentric)
        out = np.zeros((len(hits.face), 3), np.float32)
        for index, mesh in enumerate(self.meshes):
            here = np.nonzero(hits.mesh == index)[0]
            out[here] = mesh.texture.color_at(hits.face[here], hits.barycentric[here])
        return out


@dataclass(frozen=True, eq=False)
class View:
    """What a camera sees.

    Attributes:
        color: [H, W, 3] uint8 display sRGB; without a background the colour of the subject alone (0 where it is not).
        mask: [H, W] uint8 share of each pixel that the subject covers, 255 for all of it.
        depth: [H, W] float32 camera-frame z at the pixel's centre, scene units, 0 where nothing is.
        normal: [H, W, 3] float32 unit normal at the pixel's centre, facing the camera, in its frame (OpenCV axes).
        flow: [H, W, 2] float32 pixels from each pixel's centre to where its surface point is in the next view, (x, y);
            0 where nothing is; None without a next view.
        flow_visible: [H, W] uint8, 255 where that point is inside the next view and not hidden there.
    """

    color: UInt8[np.ndarray, "h w 3"]
    mask: UInt8[np.ndarray, "h w"]
    depth: Float32[np.ndarray, "h w"]
    normal: Float32[np.ndarray, "h w 3"]
    flow: Float32[np.ndarray, "h w 2"] | None
    flow_visible: UInt8[np.ndarray, "h w"] | None


def render_view(scene: SceneState, camera: Camera, following: tuple[SceneState, Camera] | None = None) -> View:
    """Render one view.

    Args:
        scene: everything at this moment.
        camera: float64 camera.
        following: the next moment and its camera, for the optical flow; its meshes have the same faces.
    """
    height, width = camera.height, camera.width
    traced = _pixels_to_trace(scene, camera)
    eye, directions = _rays(camera, traced, np.full((len(traced), 2), 0.5))
    all_hits = scene.caster.cast(eye, directions)
    seen = all_hits.mesh != MISS
    hits, pixels = all_hits.only(seen), traced[seen]
    points = scene.blend(scene.vertices, hits)
    normals = _facing(scene, hits, directions[seen])

    color, coverage = np.zeros((height * width, 3), np.float32), np.zeros(height * width)
    coarse = _sample(scene, camera, traced, _COARSE)
    color[traced], coverage[traced] = coarse.color, coarse.coverage
    edges = traced[_at_edges(traced, coarse, height, width)]
    fine = _sample(scene, camera, edges, _FINE)
    color[edges], coverage[edges] = fine.color, fine.coverage

    def image(values: np.ndarray, dtype: type) -> np.ndarray:
        out = np.zeros((height * width, *values.shape[1:]), dtype)
        out[pixels] = values
        return out.reshape(height, width, *values.shape[1:])

    flow, visible = _flow(*following, pixels, hits, width) if following is not None else (None, None)
    rotation = camera.cam_from_world[:3, :3].numpy()
    return View(
        color=np.round(color * 255).astype(np.uint8).reshape(height, width, 3),
        mask=np.round(coverage * 255).astype(np.uint8).reshape(height, width),
        depth=image(_to_camera(camera, points)[:, 2], np.float32),
        normal=image(_turned(rotation, normals), np.float32),
        flow=None if flow is None else image(flow, np.float32),
        flow_visible=None if visible is None else image(visible * 255, np.uint8),
    )


def _at_edges(pixels: Int[np.ndarray, "n"], coarse: _Samples, height: int, width: int) -> Bool[np.ndarray, "n"]:
    """Which pixels may hold the end of a surface: those next to any in which one was noticed, or next to a change."""
    uneven, coverage = np.zeros((height + 2, width + 2), bool), np.zeros((height + 2, width + 2))
    inner = np.zeros(height * width, bool)
    inner[pixels] = coarse.uneven
    uneven[1:-1, 1:-1] = inner.reshape(height, width)
    filled = np.zeros(height * width)
    filled[pixels] = coarse.coverage
    coverage[1:-1, 1:-1] = filled.reshape(height, width)
    # Outside the image everything continues as it is at the border.
    coverage[0], coverage[-1] = coverage[1], coverage[-2]
    coverage[:, 0], coverage[:, -1] = coverage[:, 1], coverage[:, -2]
    near = np.zeros((height, width), bool)
    for dy in range(3):
        for dx in range(3):
            window = (slice(dy, dy + height), slice(dx, dx + width))
            near |= uneven[window] | (coverage[window] != coverage[1:-1, 1:-1])
    return near.reshape(-1)[pixels]


def _pixels_to_trace(scene: SceneState, camera: Camera) -> Int[np.ndarray, "n"]:
    """Flat indices of the pixels where anything can be: all of them, or the box around the subject."""
    width, height = camera.width, camera.height
    low, high = np.zeros(2, np.int64), np.array([width, height])
    if len(scene.meshes) == 1:
        in_cam = scene.meshes[SUBJECT].vertices @ camera.cam_from_world[:3, :3].numpy().T
        in_cam = in_cam + camera.cam_from_world[:3, 3].numpy()
        if in_cam[:, 2].min() > 0:
            k = camera.K.numpy()
            xy = in_cam[:, :2] / in_cam[:, 2:] * [k[0, 0], k[1, 1]] + k[:2, 2]
            low = np.clip(np.floor(xy.min(0)).astype(np.int64) - 1, 0, high)
            high = np.clip(np.ceil(xy.max(0)).astype(np.int64) + 1, low, high)
    return (np.arange(low[1], high[1])[:, None] * width + np.arange(low[0], high[0])).reshape(-1)


def _rays(
    camera: Camera, pixels: Int[np.ndarray, "n"], within: Float[np.ndarray, "n 2"]
) -> tuple[Float32[np.ndarray, "n 3"], Float32[np.ndarray, "n 3"]]:
    """Origins and directions in the world of rays through points within pixels.

    Directions have a camera-frame z of 1, so the distance along a ray is the depth.
    """
    k = camera.K.numpy()
    x = ((pixels % camera.width + within[:, 0] - k[0, 2]) / k[0, 0]).astype(np.float32)
    y = ((pixels // camera.width + within[:, 1] - k[1, 2]) / k[1, 1]).astype(np.float32)
    r = camera.cam_from_world[:3, :3].numpy().astype(np.float32)
    directions = x[:, None] * r[0] + y[:, None] * r[1] + r[2]
    eye = camera.center_in_world.numpy().astype(np.float32)
    return np.ascontiguousarray(np.broadcast_to(eye, directions.shape)), directions


def _turned(rotation: Float[np.ndarray, "3 3"], vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """`vectors @ rotation.T` as plain sums: the same bits for any number of threads."""
    return vectors[:, :1] * rotation[:, 0] + vectors[:, 1:2] * rotation[:, 1] + vectors[:, 2:] * rotation[:, 2]


def _to_camera(camera: Camera, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """World points in the camera's frame."""
    return _turned(camera.cam_from_world[:3, :3].numpy(), points) + camera.cam_from_world[:3, 3].numpy()


def _facing(scene: SceneState, hits: Hits, directions: Float32[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
    """Smooth unit normals where rays hit, on the side of the surface that is seen.

    Which side that is, the face says: near the outline of a surface of few faces smooth normals lean away from the
    camera, and turning those round would point them the opposite way.  They are laid across the ray instead.
    """
    normals, faces = scene.blend(scene.normals, hits), scene.face_normals(hits)
    # Where faces fold sharply the mean of their normals may lie behind one of them, and means nothing for it.
    folded = _dot(normals, faces) <= 0
    normals[folded] = faces[folded]
    normals *= np.where(_dot(faces, directions) > 0, np.float32(-1), np.float32(1))[:, None]
    away = np.maximum(_dot(normals, directions), 0) / _dot(directions, directions)
    normals -= away[:, None] * directions
    return normals / np.maximum(np.sqrt(_dot(normals, normals)), np.float32(1e-30))[:, None]


def _dot(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    return a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]


@dataclass(frozen=True, eq=False)
class _Samples:
    color: Float[np.ndarray, "n 3"]
    coverage: Float[np.ndarray, "n"]
    uneven: Bool[np.ndarray, "n"]


def _sample(scene: SceneState, camera: Camera, pixels: Int[np.ndarray, "n"], side: int) -> _Samples:
    """Mean colour and coverage over side x side samples in each pixel, and whether a surface ends inside it."""
    count = side * side
    steps = (np.arange(side) + 0.5) / side
    within = np.stack(np.meshgrid(steps, steps, indexing="xy"), -1).reshape(-1, 2)
    eye, directions = _rays(camera, np.repeat(pixels, count), np.tile(within, (len(pixels), 1)))
    all_hits = scene.caster.cast(eye, directions)
    seen = all_hits.mesh != MISS
    depth = np.where(seen, all_hits.distance, np.float32(0))
    colors = np.zeros((len(seen), 3), np.float32)
    colors[seen] = _shaded(scene, all_hits.only(seen), eye[seen], directions[seen])
    if len(scene.meshes) > 1:
        colors[~seen] = sky(directions[~seen])
    on_subject = (all_hits.mesh == SUBJECT).reshape(-1, count)
    # With a background every sample has a colour; without one only the subject's count.
    total = np.full(len(pixels), count) if len(scene.meshes) > 1 else np.maximum(on_subject.sum(1), 1)
    mean = colors.reshape(-1, count, 3).sum(1) / total[:, None].astype(np.float32)
    z = depth.reshape(-1, count)
    nearest, farthest = z.min(1), z.max(1)
    return _Samples(mean, on_subject.mean(1), farthest - nearest > _DEPTH_STEP * farthest)


def _shaded(
    scene: SceneState, hits: Hits, origins: Float32[np.ndarray, "n 3"], directions: Float32[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 3"]:
    """Display colours of the places that were hit."""
    normals = _facing(scene, hits, directions)
    lit = np.nonzero(towards_sun(normals) > 0)[0]
    in_shadow = np.ones(len(normals), bool)
    distance = hits.distance[lit, None]
    start = origins[lit] + distance * directions[lit] + normals[lit] * (_LIFT * distance)
    in_shadow[lit] = scene.caster.blocked(start, np.broadcast_to(SUN_DIRECTION, start.shape))
    return shade(scene.albedo(hits), normals, in_shadow)


def _flow(
    scene: SceneState, camera: Camera, pixels: Int[np.ndarray, "n"], hits: Hits, width: int
) -> tuple[Float[np.ndarray, "n 2"], Bool[np.ndarray, "n"]]:
    """Where the points that were hit go in the next view, and whether they are seen there."""
    moved = scene.blend(scene.vertices, hits)
    in_cam = _to_camera(camera, moved)
    ahead = in_cam[:, 2] > 1e-6
    k = camera.K.numpy()
    xy = in_cam[:, :2] / np.where(ahead, in_cam[:, 2], 1.0)[:, None] * [k[0, 0], k[1, 1]] + k[:2, 2]
    inside = ahead & (xy > 0).all(1) & (xy < [camera.width, camera.height]).all(1)
    here = np.stack([pixels % width + 0.5, pixels // width + 0.5], -1)
    eye = camera.center_in_world.numpy()
    normals = _facing(scene, hits.only(inside), (moved[inside] - eye).astype(np.float32))
    start = moved[inside] + _LIFT * in_cam[inside, 2:] * normals
    # Only what lies before the camera hides a point: in a room there is always a wall behind it.
    span = eye - start
    on_the_way = scene.caster.cast(start, span)
    visible = np.zeros(len(pixels), bool)
    visible[inside] = (on_the_way.mesh == MISS) | (on_the_way.distance > 1)
    return np.where(ahead[:, None], xy - here, 0.0), visible
