"""What makes the values of a scene right, for the writer and the reader alike.

Every check raises an InputError that names the field; the reader adds the file and turns it into a SceneFormatError.
Whether JSON and arrays have the right types is checked where they are decoded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from recon4d.core import Camera, InputError, SceneFormatError, Surfels, quaternion
from recon4d.core.spline import SE3Spline
from recon4d.field import BonesWarp, Field, Refined, ResidualWarp, RigidWarp, Warp
from recon4d.scene.document import shown
from recon4d.scene.scene import LAYER_KINDS, Layer, Scene

MAX_LAYERS = 1024
MAX_NAME = 128
MAX_IMAGE_SIDE = 65_535
SH_COUNTS = (1, 4, 9, 16)
FLOAT_TYPES = (torch.float32, torch.float64)

# How far a rotation matrix may be from orthonormal, and weights from a sum of 1: far above float32 rounding.
ROTATION_TOLERANCE = 1e-3
WEIGHT_TOLERANCE = 1e-3
MAX_PROVENANCE_DEPTH = 64


def check_scene(scene: Scene) -> None:
    """Everything about a scene that can be wrong; raises InputError."""
    check_frames(scene.frame_times, scene.cameras)
    check_units(scene.metres_per_unit)
    check_layer_names(scene.layers)
    for i, layer in enumerate(scene.layers):
        with within(f"layers[{i}]"):
            check_field(layer.field)
    check_provenance(scene.provenance)


@contextmanager
def within(where: str, *, separator: str = ".", corrupt: bool = False) -> Iterator[None]:
    """Put a place in front of the field that an InputError names; `corrupt` makes it a SceneFormatError.

    A SceneFormatError has its place already and passes as it is.
    """
    try:
        yield
    except SceneFormatError:
        raise
    except InputError as error:
        kind = SceneFormatError if corrupt else InputError
        what = f"{where}{separator}{error.what}"
        raise kind(what, expected=error.expected, got=error.got, fix=error.fix) from None


def check_frames(times: Tensor, cameras: Sequence[Camera]) -> None:
    """Times [F] finite and strictly increasing, one good camera for each."""
    if times.dim() != 1 or times.dtype != torch.float64 or len(times) < 1:
        raise _wrong("times", "float64 [F], F >= 1", f"{times.dtype} {list(times.shape)}", "give every frame a time")
    _check_finite("times", times)
    if not bool((times[1:] > times[:-1]).all()):
        raise _wrong("times", "strictly increasing seconds", "a time not after the one before", "sort the frames")
    if len(cameras) != len(times):
        raise _wrong("cameras", f"{len(times)}, one per frame", str(len(cameras)), "give every frame a camera")
    for i, camera in enumerate(cameras):
        with within(f"cameras[{i}]"):
            check_camera(camera)


def check_camera(camera: Camera) -> None:
    """A finite pinhole camera without skew, with a rigid `cam_from_world` and an image of a sane size."""
    for name, side in (("width", camera.width), ("height", camera.height)):
        if not 1 <= side <= MAX_IMAGE_SIDE:
            raise _wrong(name, f"1 to {MAX_IMAGE_SIDE} pixels", shown(side), "give the size of the image")
    for name, matrix in (("K", camera.K), ("cam_from_world", camera.cam_from_world)):
        if matrix.dtype not in FLOAT_TYPES:
            raise _wrong(name, "float32 or float64", str(matrix.dtype), "convert the camera with camera.to(dtype)")
        _check_finite(name, matrix)
    (fx, skew, _), (skew_too, fy, _), last = camera.K.tolist()
    if fx <= 0 or fy <= 0 or skew != 0 or skew_too != 0 or last != [0, 0, 1]:
        got = shown(str(camera.K.tolist()))
        raise _wrong("K", "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]], fx and fy > 0", got, "remove the skew")
    pose = camera.cam_from_world.detach().double().cpu()
    rotation = pose[:3, :3]
    apart = float((rotation @ rotation.T - torch.eye(3, dtype=torch.float64)).abs().max())
    # Orthonormal first: the determinant of huge numbers overflows.
    if apart > ROTATION_TOLERANCE or float(torch.linalg.det(rotation)) < 0 or pose[3].tolist() != [0, 0, 0, 1]:
        got = f"rows {apart:.3g} away from orthonormal, mirrored, or a last row that is not [0, 0, 0, 1]"
        raise _wrong("cam_from_world", "a rigid transform", got, "keep scales out of camera poses")


def check_units(metres_per_unit: float | None) -> None:
    """Metres per unit: not known, or a finite number above 0."""
    if metres_per_unit is not None and not (math.isfinite(metres_per_unit) and metres_per_unit > 0):
        raise _wrong("units.metres_per_unit", "a number > 0 or null", shown(metres_per_unit), "use null when not known")


def check_layer_names(layers: Sequence[Layer]) -> None:
    """Not too many layers, known kinds, names that can be shown and that differ."""
    if len(layers) > MAX_LAYERS:
        raise _wrong("layers", f"at most {MAX_LAYERS}", str(len(layers)), "merge layers")
    seen: set[str] = set()
    for i, layer in enumerate(layers):
        if not (1 <= len(layer.name) <= MAX_NAME and layer.name.isprintable() and layer.name.strip() == layer.name):
            fix = "choose a plain name"
            raise _wrong(f"layers[{i}].name", f"1 to {MAX_NAME} printable characters", shown(layer.name), fix)
        if layer.name in seen:
            raise _wrong(f"layers[{i}].name", "names that differ", f"{shown(layer.name)} twice", "rename one layer")
        if layer.kind not in LAYER_KINDS:
            raise _wrong(f"layers[{i}].kind", " or ".join(LAYER_KINDS), shown(layer.kind), "choose one of them")
        seen.add(layer.name)


def check_field(field: Field) -> None:
    """Surfels, ids, refined branch and warp of one layer."""
    check_surfels(field.canonical)
    check_ids(field.ids)
    if field.refined is not None:
        check_refined(field.refined, field.canonical)
    check_warp(field.warp, "warp")
    if isinstance(field.warp, ResidualWarp):
        check_warp(field.warp.base, "warp.base")


def check_ids(ids: Tensor) -> None:
    """No id twice."""
    if len(torch.unique(ids)) != len(ids):
        raise _wrong("ids", "ids that differ", "an id that stands twice", "give new surfels ids of their own")


def check_refined(refined: Refined, surfels: Surfels) -> None:
    """Turns and sizes that the surfels are drawn with."""
    for name, tensor in refined.tensors().items():
        if tensor.dtype != surfels.centers.dtype:
            raise _wrong(f"refined_{name}", "the type of the centers", str(tensor.dtype), "convert all with field.to")
    check_quaternions("refined_rotations_wxyz", refined.rotations_wxyz)
    check_scales("refined_scales", refined.scales)


def check_warp(warp: Warp, name: str) -> None:
    """Values of a warp called `name`, its base left out; shapes are checked by the warps themselves."""
    if isinstance(warp, RigidWarp):
        check_spline(f"{name}.path", warp.path, batch=())
    elif isinstance(warp, BonesWarp):
        check_bones(warp, name)
    elif isinstance(warp, ResidualWarp):
        for part, tensor in (("grid", warp.grid), ("low", warp.low), ("high", warp.high)):
            _check_finite(f"{name}.{part}", tensor)
        if not bool((warp.low < warp.high).all()):
            raise _wrong(f"{name}.high", "more than `low` along each axis", "not so", "span the surfels' box")


def check_surfels(surfels: Surfels) -> None:
    """Shapes that agree, one float type, finite values in their ranges."""
    count = len(surfels)
    shapes = {"centers": (count, 3), "rotations_wxyz": (count, 4), "scales": (count, 2), "opacities": (count,)}
    arrays = surfels.tensors()
    for name, tensor in arrays.items():
        if tensor.dtype not in FLOAT_TYPES or tensor.dtype != surfels.centers.dtype:
            raise _wrong(name, "float32 or float64 as the centers", str(tensor.dtype), "convert all with surfels.to")
        if name in shapes and tuple(tensor.shape) != shapes[name]:
            raise _wrong(name, f"shape {list(shapes[name])}", str(list(tensor.shape)), "one row per surfel")
        _check_finite(name, tensor)
    if (surfels.sh is None) == (surfels.features is None):
        raise _wrong("sh", "either sh or features", "both or neither", "colour the surfels one way")
    if surfels.sh is not None and tuple(surfels.sh.shape) not in {(count, k, 3) for k in SH_COUNTS}:
        raise _wrong("sh", f"[{count}, 1 | 4 | 9 | 16, 3]", str(list(surfels.sh.shape)), "use a degree from 0 to 3")
    if surfels.features is not None and (surfels.features.dim() != 2 or surfels.features.shape[0] != count):
        raise _wrong("features", f"[{count}, C]", str(list(surfels.features.shape)), "one row per surfel")
    check_quaternions("rotations_wxyz", surfels.rotations_wxyz)
    check_scales("scales", surfels.scales)
    if not bool(((surfels.opacities >= 0) & (surfels.opacities <= 1)).all()):
        raise _wrong("opacities", "numbers from 0 to 1", "one outside", "clamp them")


def check_scales(name: str, scales: Tensor) -> None:
    """Finite and not negative."""
    _check_finite(name, scales)
    if not bool((scales >= 0).all()):
        raise _wrong(name, "numbers >= 0", "a negative one", "clamp them")


def check_bones(warp: BonesWarp, name: str) -> None:
    """Rest poses, paths and bindings of a bones warp; shapes are checked by BonesWarp itself."""
    bones = warp.rest_translations.shape[0]
    _check_finite(f"{name}.rest_translations", warp.rest_translations)
    check_quaternions(f"{name}.rest_rotations_wxyz", warp.rest_rotations_wxyz)
    check_spline(f"{name}.path", warp.path, batch=(bones,))
    if warp.root is not None:
        check_spline(f"{name}.root", warp.root, batch=())
    if not bool(((warp.weight_indices >= 0) & (warp.weight_indices < bones)).all()):
        raise _wrong(f"{name}.weight_indices", f"bones from 0 to {bones - 1}", "one outside", "bind the surfels again")
    _check_finite(f"{name}.weights", warp.weights)
    off = (warp.weights.double().sum(-1) - 1).abs() > WEIGHT_TOLERANCE
    if bool((warp.weights < 0).any()) or bool(off.any()):
        raise _wrong(f"{name}.weights", "weights >= 0 that sum to 1", "others", "normalise them for every surfel")


def check_spline(name: str, spline: SE3Spline, *, batch: tuple[int, ...]) -> None:
    """Control poses [*batch, K, ...], K >= 4, finite; a start and a step > 0 in seconds."""
    poses = spline.rotations_wxyz.shape[-2]
    wanted = {"rotations_wxyz": (*batch, poses, 4), "translations": (*batch, poses, 3)}
    for part, shape in wanted.items():
        tensor = getattr(spline, part)
        if tuple(tensor.shape) != shape or poses < 4:
            expected = f"shape {list(shape)} with at least 4 control poses"
            raise _wrong(f"{name}.{part}", expected, str(list(tensor.shape)), "fit the path again")
        _check_finite(f"{name}.{part}", tensor)
    check_quaternions(f"{name}.rotations_wxyz", spline.rotations_wxyz)
    if not (math.isfinite(spline.start) and math.isfinite(spline.step) and spline.step > 0):
        got = f"start {spline.start}, step {spline.step}"
        raise _wrong(name, "a finite start and a step > 0 in seconds", got, "fit the path again")


def check_quaternions(name: str, rotations_wxyz: Tensor) -> None:
    """Finite and not zero; they need not be normalised."""
    _check_finite(name, rotations_wxyz)
    if not bool((rotations_wxyz.abs().amax(-1) > quaternion.ZERO_LENGTH).all()):
        raise _wrong(name, "quaternions that are not zero", "a zero one", "normalise them before saving")


def check_provenance(value: object, name: str = "provenance", depth: int = 0) -> None:
    """Plain JSON values: objects with text keys, lists, texts, finite numbers, true, false, null."""
    if depth == 0 and not isinstance(value, dict):
        raise _wrong(name, "an object", shown(value), "pass a dict")
    if depth > MAX_PROVENANCE_DEPTH:
        raise _wrong(name[:80], f"at most {MAX_PROVENANCE_DEPTH} levels", "more", "flatten it")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise _wrong(name, "texts as keys", shown(key), "use str(key)")
            check_provenance(item, f"{name}.{key[:40]}", depth + 1)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            check_provenance(item, f"{name}[{i}]", depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _wrong(name, "a finite number", shown(value), "leave out numbers that are not finite, or write null")
    elif isinstance(value, int):
        if value.bit_length() > 256:
            raise _wrong(name, "at most 256 bits", "a huge number", "write it as a text")
    elif value is not None and not isinstance(value, str):
        raise _wrong(name, "a JSON value", type(value).__name__, "convert it with float(), int(), str() or .tolist()")


def _check_finite(name: str, tensor: Tensor) -> None:
    finite = torch.isfinite(tensor)
    if not bool(finite.all()):
        first = tuple(int(i) for i in (~finite).nonzero()[0])
        got = f"{int((~finite).sum())} NaN or infinite, the first at {list(first)}"
        raise _wrong(name, "finite numbers", got, "find where they come from before saving")


def _wrong(what: str, expected: str, got: str, fix: str) -> InputError:
    return InputError(what, expected=expected, got=got, fix=fix)
