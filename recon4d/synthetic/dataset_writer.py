"""The files of a synthetic data set: what each holds and how it is encoded.

transforms_{train,val,test}.json   cameras in the D-NeRF / Blender convention, see `transforms_document`
{train,val,test}/r_0000.png        8-bit RGBA (straight alpha) without a background, RGB with one
train.mp4, train_1.mp4, ...        what a user would have: the training images over white, one video per camera
masks/SPLIT/NAME.png               8-bit share of each pixel that the subject covers
depth/SPLIT/NAME.npz               `depth` float32 [H, W], camera-frame z at the pixel's centre, 0 where nothing is
normals/SPLIT/NAME.npz             `normal` float32 [H, W, 3], OpenCV camera axes, facing the camera, 0 where nothing
flow/train/NAME.npz                `flow` float32 [H, W, 2] pixels (x, y) to the same camera's next image, and `visible`
                                   uint8 [H, W], 255 where that point can be seen there; absent for the last image
meshes/frame_0000.ply              the subject at each training moment; the same vertices and faces in all
bones.npz                          joints of the skeleton over time, see `write_bones`
meta.json                          settings, seed, units, the camera's angular speed, the subject's source
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from recon4d.core import Camera
from recon4d.data.files import write_bytes
from recon4d.data.images import write_png
from recon4d.synthetic.subject import SubjectRig
from recon4d.synthetic.view import View

_OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class PlannedView:
    """One image to be made.

    Attributes:
        split: train, val or test.
        name: file name without suffix.
        camera: float64 camera.
        seconds: time in the video.
        clip_time: time in the subject's clip, seconds.
        frame: index of the moment among the training frames, or None for a moment between them.
        camera_number: which physical camera: those of the training views from 0 on, then one for each other view.
    """

    split: str
    name: str
    camera: Camera
    seconds: float
    clip_time: float
    frame: int | None
    camera_number: int


def write_npz(path: Path, **arrays: Shaped[np.ndarray, "..."]) -> None:
    """Write a compressed .npz; unlike numpy's own, the same arrays give the same bytes whenever they are written."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", _ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue(), compresslevel=4)
    write_bytes(path, buffer.getvalue())


def image_of(view: View, opaque: bool) -> UInt8[np.ndarray, "h w c"]:
    """The stored image: RGB when a background fills it, otherwise RGBA with straight alpha."""
    return view.color if opaque else np.concatenate([view.color, view.mask[..., None]], -1)


def over_white(view: View, opaque: bool) -> UInt8[np.ndarray, "h w 3"]:
    """The image as a plain video shows it."""
    if opaque:
        return view.color
    alpha = view.mask[..., None].astype(np.float64) / 255
    return np.round(view.color * alpha + 255 * (1 - alpha)).astype(np.uint8)


def write_view(folder: Path, plan: PlannedView, view: View, opaque: bool) -> None:
    """Write everything that belongs to one view; the folders must exist."""
    write_png(folder / plan.split / f"{plan.name}.png", image_of(view, opaque))
    write_png(folder / "masks" / plan.split / f"{plan.name}.png", view.mask)
    write_npz(folder / "depth" / plan.split / f"{plan.name}.npz", depth=view.depth)
    write_npz(folder / "normals" / plan.split / f"{plan.name}.npz", normal=view.normal)
    if view.flow is not None and view.flow_visible is not None:
        write_npz(folder / "flow" / plan.split / f"{plan.name}.npz", flow=view.flow, visible=view.flow_visible)


def transforms_document(plans: list[PlannedView], duration: float) -> dict[str, object]:
    """One split's cameras as the community writes them.

    `transform_matrix` is world_from_camera with OpenGL axes (x right, y up, looking along -z), `time` runs from 0 to 1
    over the video, `file_path` has no suffix (.png).  Intrinsics in pixels (pixel centres at +0.5) stand once for all
    images and again in each; `seconds` is the time in the video, `frame` the index of the mesh of that moment (null
    between frames), `camera` the number of the physical camera: those of the training views from 0 on, then one for
    each view that is kept out.
    """
    frames = []
    for plan in plans:
        world_from_cam = np.linalg.inv(plan.camera.cam_from_world.numpy())
        frames.append(
            {
                "file_path": f"./{plan.split}/{plan.name}",
                "time": plan.seconds / duration if duration > 0 else 0.0,
                "seconds": plan.seconds,
                "frame": plan.frame,
                "camera": plan.camera_number,
                **_intrinsics(plan.camera),
                "transform_matrix": (world_from_cam @ _OPENGL_FROM_OPENCV).tolist(),
            }
        )
    shared: dict[str, object] = {}
    if plans:
        camera = plans[0].camera
        shared = {
            "camera_angle_x": 2 * float(np.arctan(camera.width / (2 * float(camera.K[0, 0])))),
            **_intrinsics(camera),
        }
    return {**shared, "frames": frames}


def _intrinsics(camera: Camera) -> dict[str, float | int]:
    k = camera.K
    return {
        "fl_x": float(k[0, 0]),
        "fl_y": float(k[1, 1]),
        "cx": float(k[0, 2]),
        "cy": float(k[1, 2]),
        "w": camera.width,
        "h": camera.height,
    }


def write_bones(
    path: Path, rig: SubjectRig, clip_times: Float[np.ndarray, "t"], seconds: Float[np.ndarray, "t"]
) -> None:
    """Write the skeleton as truth.

    `names` [B]; `parents` [B] (-1 for a root); `rest_world_from_joint` [B, 4, 4]; `world_from_joint` [T, B, 4, 4] at
    `seconds` [T]; `rest_vertices` [V, 3]; `weight_indices` and `weights` [V, K] over the vertices of the meshes.  At
    any moment a vertex is the weighted sum of world_from_joint @ inverse(rest_world_from_joint) @ its rest vertex,
    except those without weights (parts of an asset that no joint moves) and the work of morph targets.
    """
    frames = np.stack([rig.frames_at(float(t)) for t in clip_times])
    write_npz(
        path,
        names=np.array(rig.names),
        parents=np.array(rig.parents, np.int32),
        rest_world_from_joint=rig.rest,
        world_from_joint=frames,
        seconds=seconds,
        rest_vertices=rig.rest_vertices,
        weight_indices=rig.indices.astype(np.int32),
        weights=rig.weights.astype(np.float32),
    )
