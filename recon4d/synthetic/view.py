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
from recon4d.synthetic.light import SUN_DIRECTION, shade, sky
from recon4d.synthetic.raycaster import MISS, Hits, RayCaster
from recon4d.synthetic.texture import PatchTexture

SUBJECT, BACKGROUND = 0, 1
_COARSE, _FINE = 2, 4  # samples along each side of a pixel: everywhere, and where surfaces end
_DEPTH_STEP = 0.03  # relative step in depth that counts as the end of a surface
_LIFT = 1e-4  # how far above a surface shadow rays start, as a share of the distance to the camera


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

    def blend(self, values: list[Float[np.ndarray, "_ 3"]], hits: Hits) -> Float[np.ndarray, "n 3"]:
        """Per-vertex values [V, 3] of each mesh at the places that were hit; zero where nothing was."""
        out = np.zeros((len(hits.face), 3))
        for index, (mesh, value) in enumerate(zip(self.meshes, values, strict=True)):
            here = hits.mesh == index
            corners = mesh.faces[hits.face[here]]
            b = hits.barycentric[here]
            out[here] = (
                value[corners[:, 0]] * b[:, :1] + value[corners[:, 1]] * b[:, 1:2] + value[corners[:, 2]] * b[:, 2:]
            )
        return out

    def points(self, hits: Hits) -> Float[np.ndarray, "n 3"]:
        """Places that were hit, in the world; zero where nothing was."""
        return self.blend([m.vertices for m in self.meshes], hits)


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
    eye = camera.center_in_world.numpy()
    pixels = _pixels_to_trace(scene, camera)
    center = np.full((len(pixels), 2), 0.5)
    directions = _directions(camera, pixels, center)
    hits = scene.caster.cast(np.broadcast_to(eye, directions.shape), directions)
    points = scene.points(hits)
    depth = np.where(hits.mesh == MISS, 0.0, _camera_depth(camera, points))

    color, coverage = np.zeros((height * width, 3)), np.zeros(height * width)
    coarse = _sample(scene, camera, pixels, _COARSE)
    color[pixels], coverage[pixels] = coarse.color, coarse.coverage
    edge = _at_edges(pixels, coarse, height, width)
    fine = _sample(scene, camera, pixels[edge], _FINE)
    color[pixels[edge]], coverage[pixels[edge]] = fine.color, fine.coverage

    normals = _facing(scene.blend([m.normals for m in scene.meshes], hits), directions)
    rotation = camera.cam_from_world[:3, :3].numpy()
    flow, visible = (None, None)
    if following is not None:
        flow, visible = _flow(*following, pixels, hits, points, width, height)

    def image(values: np.ndarray, dtype: type) -> np.ndarray:
        out = np.zeros((height * width, *values.shape[1:]), dtype)
        out[pixels] = values
        return out.reshape(height, width, *values.shape[1:])

    return View(
        color=np.round(color * 255).astype(np.uint8).reshape(height, width, 3),
        mask=np.round(coverage * 255).astype(np.uint8).reshape(height, width),
        depth=image(depth, np.float32),
        normal=image(normals @ rotation.T, np.float32),
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


def _directions(
    camera: Camera, pixels: Int[np.ndarray, "n"], within: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "n 3"]:
    """Ray directions in the world, with camera-frame z of 1, through points within pixels."""
    k = camera.K.numpy()
    x = (pixels % camera.width + within[:, 0] - k[0, 2]) / k[0, 0]
    y = (pixels // camera.width + within[:, 1] - k[1, 2]) / k[1, 1]
    r = camera.cam_from_world[:3, :3].numpy()
    return x[:, None] * r[0] + y[:, None] * r[1] + r[2]


def _camera_depth(camera: Camera, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    row = camera.cam_from_world[2].numpy()
    return points[:, 0] * row[0] + points[:, 1] * row[1] + points[:, 2] * row[2] + row[3]


def _facing(normals: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Unit normals turned towards the side that is seen; zero stays zero."""
    away = (normals * directions).sum(-1, keepdims=True) > 0
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.where(away, -normals, normals) / np.maximum(length, 1e-30)


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
    directions = _directions(camera, np.repeat(pixels, count), np.tile(within, (len(pixels), 1)))
    eye = camera.center_in_world.numpy()
    hits = scene.caster.cast(np.broadcast_to(eye, directions.shape), directions)
    seen = hits.mesh != MISS
    found = Hits(hits.mesh[seen], hits.face[seen], hits.barycentric[seen])
    points = scene.points(found)
    depth = np.zeros(len(seen))
    depth[seen] = _camera_depth(camera, points)
    colors = np.zeros((len(seen), 3))
    colors[seen] = _shaded(scene, found, points, directions[seen], depth[seen])
    if len(scene.meshes) > 1:
        colors[~seen] = sky(directions[~seen])
    on_subject = (hits.mesh == SUBJECT).reshape(-1, count)
    # With a background every sample has a colour; without one only the subject's count.
    counted = np.ones_like(on_subject) if len(scene.meshes) > 1 else on_subject
    total = counted.sum(1)
    mean = (colors.reshape(-1, count, 3) * counted[..., None]).sum(1) / np.maximum(total, 1)[:, None]
    z = depth.reshape(-1, count)
    nearest, farthest = z.min(1), z.max(1)
    return _Samples(mean, on_subject.mean(1), farthest - nearest > _DEPTH_STEP * farthest)


def _shaded(
    scene: SceneState,
    hits: Hits,
    points: Float[np.ndarray, "n 3"],
    directions: Float[np.ndarray, "n 3"],
    depth: Float[np.ndarray, "n"],
) -> Float[np.ndarray, "n 3"]:
    normals = _facing(scene.blend([m.normals for m in scene.meshes], hits), directions)
    albedo = np.zeros((len(hits.face), 3), np.float32)
    for index, mesh in enumerate(scene.meshes):
        here = hits.mesh == index
        albedo[here] = mesh.texture.color_at(hits.face[here], hits.barycentric[here])
    lit = normals @ SUN_DIRECTION > 0
    in_shadow = np.ones(len(lit), bool)
    start = points[lit] + normals[lit] * (10 * _LIFT * depth[lit, None])
    in_shadow[lit] = scene.caster.blocked(start, np.broadcast_to(SUN_DIRECTION, start.shape))
    return shade(albedo, normals, in_shadow)


def _flow(
    scene: SceneState,
    camera: Camera,
    pixels: Int[np.ndarray, "n"],
    hits: Hits,
    points: Float[np.ndarray, "n 3"],
    width: int,
    height: int,
) -> tuple[Float[np.ndarray, "n 2"], Bool[np.ndarray, "n"]]:
    """Where the points that were hit go in the next view, and whether they are seen there."""
    seen = hits.mesh != MISS
    moved = np.where(seen[:, None], scene.points(hits), points)
    rotation, translation = camera.cam_from_world[:3, :3].numpy(), camera.cam_from_world[:3, 3].numpy()
    in_cam = (moved[:, None, :] * rotation).sum(-1) + translation
    z = in_cam[:, 2]
    ahead = seen & (z > 1e-6)
    k = camera.K.numpy()
    xy = in_cam[:, :2] / np.where(ahead, z, 1.0)[:, None] * [k[0, 0], k[1, 1]] + k[:2, 2]
    here = np.stack([pixels % width + 0.5, pixels // width + 0.5], -1)
    inside = ahead & (xy > 0).all(1) & (xy < [width, height]).all(1)
    to_eye = camera.center_in_world.numpy() - moved[inside]
    normals = _facing(scene.blend([m.normals for m in scene.meshes], hits)[inside], -to_eye)
    start = moved[inside] + 10 * _LIFT * np.linalg.norm(to_eye, axis=-1, keepdims=True) * normals
    visible = np.zeros(len(pixels), bool)
    # Nothing stands between the camera and infinity behind it that the renderer would draw, but a room's wall may.
    visible[inside] = ~_blocked_before(scene, start, camera.center_in_world.numpy() - start)
    return np.where(ahead[:, None], xy - here, 0.0), visible


def _blocked_before(
    scene: SceneState, origins: Float[np.ndarray, "n 3"], spans: Float[np.ndarray, "n 3"]
) -> Bool[np.ndarray, "n"]:
    """Whether something is met before the end of each span."""
    hits = scene.caster.cast(origins, spans)
    reached = scene.points(hits) - origins
    along = (reached * spans).sum(-1) / (spans**2).sum(-1)
    return (hits.mesh != MISS) & (along < 1)
