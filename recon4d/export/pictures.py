"""Pictures of a scene: colours, depth, normals, coverage or bones, for cameras and times of any number.

Draws several views at a time, in order, one batch held at once.  Does NOT write files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from recon4d.core import Camera, InputError, Surfels
from recon4d.export.bone_pictures import LayerBones, draw_bones, layer_bones
from recon4d.export.colors import Color, depth_map, parse_background
from recon4d.export.pose_track import fitted_to
from recon4d.render import RasterOutput, available_backends, rasterize
from recon4d.scene import Layer, Scene

What = Literal["color", "depth", "normal", "alpha", "bones"]
WHATS: tuple[What, ...] = ("color", "depth", "normal", "alpha", "bones")
Backend = Literal["auto", "reference", "cpu", "cuda", "gsplat"]
Progress = Callable[[int, int], None]

MAX_SIDE = 16_384
MAX_PIXELS = 64_000_000  # 2.6 GB of images, before averaging
MAX_SUPERSAMPLE = 8
_BATCH_VIEWS = 8
_BATCH_PIXELS = 2_000_000  # images of all kinds take 40 bytes a pixel
_RANGE_VIEWS = 24
_RANGE_SIDE = 160
_RANGE_OUTLIERS = 0.01
_SOLID = 0.5  # coverage from which on a pixel's depth is that of something


@dataclass(frozen=True, eq=False)
class Shot:
    """What is drawn, checked and ready.

    Attributes:
        layers: in the scene's order.
        cameras: float32, at the size of the picture, one for each time.
        times: seconds.
        what: the kind of picture.
        background: display sRGB; None is transparent, and gives pictures of four channels.
        supersample: every pixel is the mean of so many times so many.
        depth_range: nearest and farthest depth of the colours of depth, scene units; None for other kinds.
        backend: rasterizer.
    """

    layers: tuple[Layer, ...]
    cameras: tuple[Camera, ...]
    times: tuple[float, ...]
    what: What
    background: Color | None
    supersample: int
    depth_range: tuple[float, float] | None
    backend: Backend

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures."""
        return self.cameras[0].width, self.cameras[0].height


def prepare(
    scene: Scene,
    cameras: Sequence[Camera],
    times: Sequence[float],
    *,
    what: str = "color",
    size: tuple[int, int] | None = None,
    background: str = "white",
    layers: Sequence[str] = (),
    supersample: int = 1,
    depth_range: tuple[float, float] | None = None,
    backend: Backend = "auto",
) -> Shot:
    """Check everything that can be wrong, and find the range of depths where it is needed.

    Args:
        scene: what to draw.
        cameras: [N], of any image sizes.
        times: [N] seconds, one for each camera, within the scene's times.
        what: "color", "depth" (near is light, far is dark), "normal" (camera frame: right is red, up is green, towards
            the camera is blue), "alpha" (coverage, white is all) or "bones".
        size: width and height; the first camera's where None.  All that a camera sees stays in view.
        background: see `colors.parse_background`.
        layers: names; all layers where empty.
        supersample: 1 to 8.
        depth_range: nearest and farthest depth for "depth"; found from the whole clip where None.
        backend: rasterizer; "auto" is the fastest there is.

    Raises:
        InputError: anything wrong with the above, or depths asked for where nothing is seen.
    """
    if what not in WHATS:
        raise InputError("what", expected=" or ".join(WHATS), got=repr(what), fix="choose one of these")
    if not cameras or len(cameras) != len(times):
        got = f"{len(cameras)} cameras and {len(times)} times"
        raise InputError("cameras", expected="at least one, with a time for each", got=got, fix="give one of each")
    first, last = scene.frame_times[0].item(), scene.frame_times[-1].item()
    for time in times:
        if not first - 1e-6 <= time <= last + 1e-6:
            expected = f"seconds from {first:g} to {last:g}, the times of the scene"
            raise InputError("times", expected=expected, got=f"{time:g}", fix="choose times within the scene")
    if not (isinstance(supersample, int) and 1 <= supersample <= MAX_SUPERSAMPLE):
        expected = f"a whole number from 1 to {MAX_SUPERSAMPLE}"
        raise InputError("supersample", expected=expected, got=repr(supersample), fix="2 is a good choice")
    width, height = size or (cameras[0].width, cameras[0].height)
    if not (1 <= width * supersample <= MAX_SIDE and 1 <= height * supersample <= MAX_SIDE):
        got = f"{width}x{height}" + (f" times {supersample}" if supersample > 1 else "")
        raise InputError("size", expected=f"sides of 1 to {MAX_SIDE} pixels", got=got, fix="choose a smaller size")
    if width * height * supersample**2 > MAX_PIXELS:
        got = f"{width}x{height}" + (f" times {supersample}x{supersample}" if supersample > 1 else "")
        expected = f"at most {MAX_PIXELS // 10**6} million pixels"
        raise InputError("size", expected=expected, got=got, fix="choose a smaller size or less supersampling")
    if depth_range is not None and not 0 <= depth_range[0] < depth_range[1] < math.inf:
        got = f"{depth_range[0]:g} to {depth_range[1]:g}"
        raise InputError("depth_range", expected="0 <= near < far", got=got, fix="leave it out to have it found")
    names = [scene.layer(name).name for name in layers]
    chosen = tuple(layer for layer in scene.layers if not names or layer.name in names)
    if not chosen:
        raise InputError("scene", expected="at least one layer", got="none", fix="draw a scene with surfels")
    device = _device(backend)
    shot = Shot(
        tuple(Layer(layer.name, layer.kind, layer.field.to(device, torch.float32)) for layer in chosen),
        tuple(fitted_to(camera, width, height).to(device, torch.float32) for camera in cameras),
        tuple(min(max(float(time), first), last) for time in times),
        what,
        parse_background(background),
        supersample,
        None,
        backend,
    )
    if what == "color":
        _check_colors(chosen)
    if what != "depth":
        return shot
    return Shot(**(vars(shot) | {"depth_range": depth_range or find_depth_range(shot)}))


def draw(shot: Shot, progress: Progress | None = None) -> Iterator[UInt8[np.ndarray, "h w c"]]:
    """The pictures in order, [H, W, 3], or [H, W, 4] with straight alpha where the background is transparent."""
    bones: list[LayerBones] = []
    if shot.what == "bones":
        for layer in shot.layers:
            bones.append(layer_bones(layer, sum(len(known.bones) for known in bones)))
    channels = [shown.surfel_colors for shown in bones] if bones else None
    if shot.what in ("depth", "normal", "alpha"):
        channels = [torch.zeros(len(layer.field), 1) for layer in shot.layers]
    done = 0
    for output, cameras, times in _rendered(shot, channels, shot.supersample):
        pixels = _paint(shot, output)
        for picture, camera, time in zip(pixels, cameras, times, strict=True):
            if bones:
                draw_bones(picture, bones, camera, time)
            done += 1
            if progress:
                progress(done, len(shot.times))
            yield picture


def draw_depths(shot: Shot, progress: Progress | None = None) -> Iterator[Float32[np.ndarray, "h w"]]:
    """Depths in scene units, 0 where less than half a pixel is covered; not supersampled, depths must not be mixed."""
    done = 0
    channels = [torch.zeros(len(layer.field), 1) for layer in shot.layers]
    for output, _, _ in _rendered(shot, channels, 1):
        depths = torch.where(output.alpha >= _SOLID, output.depth, 0.0)[..., 0].cpu().numpy()
        for depth in depths:
            done += 1
            if progress:
                progress(done, len(shot.times))
            yield depth


def find_depth_range(shot: Shot) -> tuple[float, float]:
    """Nearest and farthest depth of what is seen in the clip, but for the outermost hundredth of its pixels.

    Looks at up to 24 views, small.

    Raises:
        InputError: nothing is seen.
    """
    picked = np.unique(np.linspace(0, len(shot.times) - 1, _RANGE_VIEWS).round().astype(int))
    width, height = shot.size
    scale = min(1.0, _RANGE_SIDE / max(width, height))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    sample = Shot(
        **(
            vars(shot)
            | {
                "cameras": tuple(shot.cameras[i].resized(*small) for i in picked),
                "times": tuple(shot.times[i] for i in picked),
            }
        )
    )
    seen = np.concatenate([depth[depth > 0] for depth in draw_depths(sample)])
    if not len(seen):
        raise InputError(
            "depth", expected="something to be seen", got="empty pictures", fix="check the cameras and the layers"
        )
    near, far = np.quantile(seen, [_RANGE_OUTLIERS, 1 - _RANGE_OUTLIERS]).tolist()
    margin = max(0.02 * (far - near), 1e-3 * far)
    return max(near - margin, 0.0), far + margin


def _rendered(
    shot: Shot, channels: list[Float[Tensor, "_ _"]] | None, supersample: int
) -> Iterator[tuple[RasterOutput, tuple[Camera, ...], tuple[float, ...]]]:
    """Images over black of a few views at a time, their cameras at the pictures' size, and their times."""
    width, height = shot.size
    pixels = width * height * supersample**2
    step = max(1, min(_BATCH_VIEWS, _BATCH_PIXELS // pixels))
    for begin in range(0, len(shot.times), step):
        cameras, times = shot.cameras[begin : begin + step], shot.times[begin : begin + step]
        large = [camera.resized(width * supersample, height * supersample) for camera in cameras]
        # Not around the yield: a generator that is left unfinished would leave gradients switched off for its caller.
        with torch.no_grad():
            output = rasterize(_surfels(shot.layers, times, channels), large, backend=shot.backend)
        yield output, cameras, times


def _surfels(layers: Sequence[Layer], times: Sequence[float], channels: list[Tensor] | None) -> Surfels:
    """All layers at some times as one batch: as they look, or as the surface is with `channels` in place of colours."""
    if channels is None:
        parts = [layer.field.appearance_at_times(list(times)) for layer in layers]
    else:
        parts = [layer.field.at_times(list(times)) for layer in layers]
        parts = [p.replace(sh=None, features=c.to(p.centers)) for p, c in zip(parts, channels, strict=True)]
    merged = {name: _joined([getattr(part, name) for part in parts], rank) for name, rank in _RANKS.items()}
    if parts[0].sh is not None:
        most = max(part.sh.shape[-2] for part in parts if part.sh is not None)
        padded = [torch.nn.functional.pad(p.sh, (0, 0, 0, most - p.sh.shape[-2])) for p in parts if p.sh is not None]
        merged["sh"] = _joined(padded, 3)
    else:
        merged["features"] = _joined([part.features for part in parts if part.features is not None], 2)
    return Surfels(**{name: tensor.contiguous() for name, tensor in merged.items()})


# Surfel arrays that all layers have, and their dimensions without a batch.
_RANKS = {"centers": 2, "rotations_wxyz": 2, "world_from_canonical_wxyz": 2, "scales": 2, "opacities": 1}


def _joined(tensors: Sequence[Tensor], rank: int) -> Tensor:
    """One array out of those of the layers; batched where any of them is, as an edit over time makes it."""
    batch = max((tensor.shape[0] for tensor in tensors if tensor.dim() > rank), default=None)
    if batch is not None:
        tensors = [t if t.dim() > rank else t.expand(batch, *t.shape) for t in tensors]
    return torch.cat(list(tensors), dim=-rank)


def _paint(shot: Shot, output: RasterOutput) -> UInt8[np.ndarray, "b h w c"]:
    """The pictures of a batch of images over black."""
    alpha = output.alpha
    if shot.what == "alpha":
        return _to_bytes(_averaged(alpha, shot.supersample)).repeat(3, -1)
    if shot.what == "color":
        premultiplied = output.color.clamp(0, 1)
    elif shot.what == "depth":
        assert shot.depth_range is not None
        near, far = shot.depth_range
        table = torch.from_numpy(depth_map()).to(alpha)
        share = (output.depth[..., 0] - near) / (far - near)
        premultiplied = table[(share.clamp(0, 1) * 255).round().long()] * alpha
    else:
        length = output.normal.norm(dim=-1, keepdim=True)
        normal = output.normal / length.clamp(min=1e-6)
        if shot.what == "normal":
            # Camera axes to the usual colours of normals: y and z of OpenCV point down and away.
            premultiplied = (0.5 + 0.5 * normal * normal.new_tensor([1.0, -1.0, -1.0])) * alpha
        else:
            premultiplied = output.color * (0.45 + 0.55 * normal[..., 2:].abs())
    premultiplied, alpha = _averaged(premultiplied, shot.supersample), _averaged(alpha, shot.supersample)
    if shot.background is None:
        straight = torch.where(alpha > 0, premultiplied / alpha.clamp(min=1e-6), 0.0)
        return _to_bytes(torch.cat([straight, alpha], dim=-1))
    return _to_bytes(premultiplied + (1 - alpha) * premultiplied.new_tensor(shot.background))


def _averaged(image: Float[Tensor, "b h w c"], factor: int) -> Float[Tensor, "b u v c"]:
    if factor == 1:
        return image
    batch, height, width, channels = image.shape
    return image.reshape(batch, height // factor, factor, width // factor, factor, channels).mean((2, 4))


def _to_bytes(image: Float[Tensor, "b h w c"]) -> UInt8[np.ndarray, "b h w c"]:
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _device(backend: Backend) -> str:
    if backend in ("cuda", "gsplat"):
        return "cuda"
    return "cuda" if backend == "auto" and available_backends()["cuda"][0] else "cpu"


def _check_colors(layers: Sequence[Layer]) -> None:
    kinds = {
        layer.name: "sh"
        if (features := layer.field.canonical.features) is None or layer.field.canonical.sh is not None
        else f"{features.shape[1]} features"
        for layer in layers
    }
    if set(kinds.values()) not in ({"sh"}, {"3 features"}):
        raise InputError(
            "layers",
            expected="colours as spherical harmonics, or three features, in all layers alike",
            got=", ".join(f"{name!r}: {kind}" for name, kind in kinds.items()),
            fix="choose layers that go together, or another kind of picture",
        )
