"""The pictures that textures are taken from: the input frames where they are at hand, else renders of the scene.

The film shows the scene without its edits: its frames go with the cameras, the clock and all the surfels of that one,
renders with those of the edited scene.  Each picture comes with how much of every pixel is whose layer, so that nothing
of the background, and nothing that edits took away, ends up on the subject.  Does NOT bake.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from recon4d.core import Camera, InputError, Surfels
from recon4d.data import Dataset, View, read_dataset
from recon4d.editors import SceneView
from recon4d.export.mesh.origins import owners_of
from recon4d.render import rasterize
from recon4d.scene import Layer, Scene, load, merge_surfels

_MAX_SIDE = 1280
_TIME_SLACK = 0.25  # of the time between frames, by which an input frame may be away from the scene's


@dataclass(frozen=True, eq=False)
class Photo:
    """One picture.

    Attributes:
        index: of the scene's frame.
        time: seconds.
        camera: float32, of the picture's size.
        color: [H, W, 3] display sRGB in [0, 1], not laid over anything.
        shares: [H, W, L] how much of each pixel is of each layer of the edited scene, 0 where the picture is
            transparent.
    """

    index: int
    time: float
    camera: Camera
    color: Float32[np.ndarray, "h w 3"]
    shares: Float32[np.ndarray, "h w l"]


@dataclass(frozen=True, eq=False)
class PhotoSource:
    """Pictures of a scene.

    Attributes:
        scene: what the pictures show: the scene without its edits for input frames, with them for renders.
        views: of the input, one for each frame; None for renders.
        name: what they are, in words.
        owners: for every layer of `scene`, [N, L] 1 for the layer of the edited scene that a surfel is in now; what is
            in none any more hides what is behind it all the same.
    """

    scene: Scene
    views: tuple[View, ...] | None
    name: str
    owners: tuple[Float32[Tensor, "_ l"], ...]

    @property
    def frame_count(self) -> int:
        """How many pictures there are."""
        return len(self.scene.frame_times)

    def photos(self, frames: Sequence[int]) -> Iterator[Photo]:
        """The pictures of some frames."""
        for index in frames:
            time = float(self.scene.frame_times[index])
            camera = self.scene.cameras[index].to("cpu", torch.float32)
            if self.views is None:
                yield self._rendered(index, time, _limited(camera))
            else:
                yield self._filmed(index, time, camera, self.views[index])

    def _filmed(self, index: int, time: float, camera: Camera, view: View) -> Photo:
        values = _pixels(view)
        height, width = values.shape[:2]
        if abs(width / height - camera.width / camera.height) > 0.02 * width / height:
            raise InputError(
                "--frames",
                expected=f"pictures as wide for their height as {camera.width} x {camera.height}",
                got=f"{width} x {height}",
                fix="give the input that the scene was made from",
            )
        camera = camera.resized(width, height)
        shares = self._shares(time, camera)
        if values.shape[2] == 4:
            shares = shares * (values[:, :, 3:] > 0.99)
        return Photo(index, time, camera, np.ascontiguousarray(values[:, :, :3]), shares)

    def _rendered(self, index: int, time: float, camera: Camera) -> Photo:
        with torch.no_grad():
            state = self.scene.appearance_at(time).to("cpu", torch.float32)
            output = rasterize(_contiguous(state), camera)
        alpha = output.alpha.numpy()
        color = output.color[..., :3].clamp(0, 1).numpy() / np.maximum(alpha, 1e-3)
        return Photo(index, time, camera, np.minimum(color, 1).astype(np.float32), self._shares(time, camera))

    def _shares(self, time: float, camera: Camera) -> Float32[np.ndarray, "h w l"]:
        """How much of each pixel is of each layer."""
        with torch.no_grad():
            parts = [
                layer.field.at(time).to("cpu", torch.float32).replace(sh=None, features=owner)
                for layer, owner in zip(self.scene.layers, self.owners, strict=True)
            ]
            output = rasterize(_contiguous(merge_surfels(parts)), camera)
        return output.color.numpy()


def find_photos(scene: Scene, frames: Path | None, scene_path: Path | None) -> tuple[PhotoSource, str | None]:
    """The input frames, or renders with a sentence that says so.

    Args:
        scene: whose, with its edits.
        frames: where the input is; looked for beside the scene, under the name that its provenance has, where None.
        scene_path: the scene's folder, where it has one.

    Raises:
        InputError: `frames` is given and is not the scene's input.
    """
    if frames is not None:
        return _film(scene, frames, scene_path), None
    known = scene.provenance.get("input")
    name = known.get("name") if isinstance(known, dict) else None
    if isinstance(name, str) and name and Path(name).name == name and scene_path is not None:
        beside = scene_path.resolve().parent / name
        if beside.exists():
            try:
                return _film(scene, beside, scene_path), None
            except InputError as error:
                return renders(
                    scene
                ), f"textures are taken from renders of the scene: {beside} does not fit it ({error.got})"
    told = f" ({name})" if isinstance(name, str) and name else ""
    return renders(scene), (
        f"textures are taken from renders of the scene, because its input{told} is not at hand; --frames names it"
    )


def renders(scene: Scene) -> PhotoSource:
    """Pictures that the scene makes of itself."""
    return PhotoSource(scene, None, "renders of the scene", owners_of(scene, scene))


def _film(scene: Scene, path: Path, scene_path: Path | None) -> PhotoSource:
    unedited = _unedited(scene, scene_path)
    dataset = read_dataset(path)
    views = _matched(unedited, dataset)
    if views is None:
        raise InputError(
            "--frames",
            expected=f"pictures at the {len(unedited.frame_times)} times of the scene",
            got=f"{len(dataset.views)} pictures at other times: {path}",
            fix="give the input that the scene was made from, or leave --frames out",
        )
    return PhotoSource(unedited, views, f"frames of {path.name}", owners_of(scene, unedited))


def _unedited(scene: Scene, scene_path: Path | None) -> Scene:
    """The scene as it was filmed."""
    if not isinstance(scene, SceneView):
        return scene
    if scene_path is None:
        raise InputError(
            "--frames",
            expected="a scene in a folder, which knows what it was before its edits",
            got="an edited scene without a folder, which its input does not show",
            fix="save the scene first, or leave --frames out",
        )
    return load(scene_path)


def _matched(scene: Scene, dataset: Dataset) -> tuple[View, ...] | None:
    """A view for every frame of the scene, by time; and by the camera's place where several share a time."""
    views = dataset.split("train") or dataset.views
    times = np.array([view.time for view in views])
    known = scene.frame_times.numpy()
    step = float(np.median(np.diff(known))) if len(known) > 1 else 1.0
    chosen = []
    for time, camera in zip(known, scene.cameras, strict=True):
        near = np.flatnonzero(np.abs(times - time) <= _TIME_SLACK * step)
        if len(near) == 0:
            return None
        best = min(near.tolist(), key=lambda i: (_apart(views[i], camera), abs(times[i] - time)))
        chosen.append(views[best])
    return tuple(chosen)


def _apart(view: View, camera: Camera) -> float:
    if view.camera is None:
        return 0.0
    there = view.camera.center_in_world.double()
    return round(float((there - camera.center_in_world.double()).norm()), 6)


def _limited(camera: Camera) -> Camera:
    scale = min(1.0, _MAX_SIDE / max(camera.width, camera.height))
    return camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))


def _pixels(view: View) -> Float32[np.ndarray, "h w c"]:
    """An input frame in [0, 1], not larger than it need be."""
    import cv2

    pixels = view.load_image()
    values: np.ndarray = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    height, width = values.shape[:2]
    if max(height, width) > _MAX_SIDE:
        scale = _MAX_SIDE / max(height, width)
        values = cv2.resize(values, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    return values


def _contiguous(surfels: Surfels) -> Surfels:
    return Surfels(**{name: tensor.contiguous() for name, tensor in surfels.tensors().items()})


def layer_number(scene: Scene, layer: Layer) -> int:
    """Place of a layer in `Photo.shares`."""
    return next(i for i, other in enumerate(scene.layers) if other.name == layer.name)
