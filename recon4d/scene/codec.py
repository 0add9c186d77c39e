"""Scenes as documents and named arrays, and back; reads and writes no file.

Arrays of a layer ("surfels" file): centers [N, 3], rotations_wxyz [N, 4], scales [N, 2], opacities [N], ids [N], and
sh [N, K, 3] or features [N, C]; where surfels are drawn with a turn and size of their own also
refined_rotations_wxyz [N, 4] and refined_scales [N, 2].  Arrays of a rigid warp: path_rotations_wxyz [K, 4],
path_translations [K, 3].  Of a bones warp: rest_rotations_wxyz [B, 4], rest_translations [B, 3], path_... [B, K, ...],
root_... [K', ...] where there is a root, weight_indices [N, 4], weights [N, 4].  Of a residual warp: grid
[K, X, Y, Z, 3], low [3], high [3]; its base has a file of its own.  Ids and indices are int64, all else of one type,
float32 or float64.

To store another warp: add its kind to `encode_warp` and `decode_warp`, its arrays above and its checks to `checks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from recon4d.core import Camera, InputError, SceneFormatError, Surfels
from recon4d.core.spline import SE3Spline
from recon4d.field import BonesWarp, Field, IdentityWarp, Refined, ResidualWarp, RigidWarp, Warp
from recon4d.scene.document import DAMAGED, Node

CAMERA_TYPES = {"float32": torch.float32, "float64": torch.float64}

Arrays = dict[str, Tensor]

_KINDS = {
    "identity": (),
    "rigid": ("path", "arrays"),
    "bones": ("blend", "root", "path", "arrays"),
    "residual": ("start", "step", "base", "arrays"),
}
_REFINED = "refined_"


class ArrayTable:
    """The arrays of one file, taken out one by one with their type and shape checked."""

    def __init__(self, arrays: Mapping[str, Tensor], file: str) -> None:
        self.file = file
        self._left = dict(arrays)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str, shape: tuple[int | None, ...], dtype: torch.dtype | None = None) -> Tensor:
        """The array of that name; None in `shape` takes any size, no dtype takes either float type."""
        tensor = self._left.pop(name, None)
        types = (dtype,) if dtype else tuple(CAMERA_TYPES.values())
        wanted = f"{' or '.join(str(t) for t in types)} {['any' if s is None else s for s in shape]}"
        if tensor is None:
            raise self._error(name, wanted, "no such array")
        fits = tensor.dim() == len(shape) and all(s in (None, t) for s, t in zip(shape, tensor.shape, strict=True))
        if not fits or tensor.dtype not in types:
            raise self._error(name, wanted, f"{tensor.dtype} {list(tensor.shape)}")
        return tensor

    def finish(self) -> None:
        """Raise SceneFormatError when arrays are left that nothing asked for."""
        for name in self._left:
            raise self._error(name[:60], "only arrays that the format names", "another one")

    def _error(self, name: str, expected: str, got: str) -> SceneFormatError:
        return SceneFormatError(f"{self.file}: {name}", expected=expected, got=got, fix=DAMAGED)


def encode_camera(camera: Camera) -> dict[str, Any]:
    """The document of a camera; its numbers are exact, float32 ones too."""
    K = camera.K.detach().tolist()
    return {
        "dtype": str(camera.K.dtype).removeprefix("torch."),
        "width": camera.width,
        "height": camera.height,
        "fx": K[0][0],
        "fy": K[1][1],
        "cx": K[0][2],
        "cy": K[1][2],
        "cam_from_world": camera.cam_from_world.detach().tolist(),
    }


def decode_camera(node: Node, *, largest_side: int) -> Camera:
    """The camera of its document."""
    members = node.object("dtype", "width", "height", "fx", "fy", "cx", "cy", "cam_from_world")
    dtype = CAMERA_TYPES[members["dtype"].choice(*CAMERA_TYPES)]
    fx, fy, cx, cy = (members[name].number() for name in ("fx", "fy", "cx", "cy"))
    pose = [row.numbers(4) for row in members["cam_from_world"].items(count=4)]
    width, height = (members[name].whole(least=1, most=largest_side) for name in ("width", "height"))
    # By way of float64: torch refuses to make a float32 of a number beyond its range, a conversion gives infinity.
    K = torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64).to(dtype)
    return Camera(K, torch.tensor(pose, dtype=torch.float64).to(dtype), width, height)


def encode_surfels(field: Field) -> Arrays:
    """The arrays of the canonical surfels, their ids, and how they are drawn where this differs."""
    refined = {} if field.refined is None else field.refined.tensors()
    return {
        **field.canonical.tensors(),
        "ids": field.ids,
        **{f"{_REFINED}{name}": tensor for name, tensor in refined.items()},
    }


def decode_surfels(table: ArrayTable, count: int) -> tuple[Surfels, Tensor, Refined | None]:
    """Surfels, ids and refined branch of their arrays."""
    ids = table.take("ids", (count,), torch.int64)
    surfels = Surfels(
        centers=table.take("centers", (count, 3)),
        rotations_wxyz=table.take("rotations_wxyz", (count, 4)),
        scales=table.take("scales", (count, 2)),
        opacities=table.take("opacities", (count,)),
        sh=table.take("sh", (count, None, 3)) if "sh" in table else None,
        features=table.take("features", (count, None)) if "features" in table else None,
    )
    refined = None
    # Either array wants the other.
    if f"{_REFINED}rotations_wxyz" in table or f"{_REFINED}scales" in table:
        refined = Refined(
            table.take(f"{_REFINED}rotations_wxyz", (count, 4)), table.take(f"{_REFINED}scales", (count, 2))
        )
    table.finish()
    return surfels, ids, refined


def encode_warp(warp: Warp) -> tuple[dict[str, Any], Arrays]:
    """The document of a warp without its file and its base, and its arrays; no arrays for the identity."""
    # Exact types: a subclass may hold more than is stored here.
    if type(warp) is IdentityWarp:
        return {"kind": "identity"}, {}
    if type(warp) is RigidWarp:
        return {"kind": "rigid", "path": _span(warp.path)}, _poses("path", warp.path)
    if type(warp) is BonesWarp:
        document: dict[str, Any] = {
            "kind": "bones",
            "blend": warp.blend,
            "root": None if warp.root is None else _span(warp.root),
            "path": _span(warp.path),
        }
        arrays = {
            **({} if warp.root is None else _poses("root", warp.root)),
            "rest_rotations_wxyz": warp.rest_rotations_wxyz,
            "rest_translations": warp.rest_translations,
            **_poses("path", warp.path),
            "weight_indices": warp.weight_indices,
            "weights": warp.weights,
        }
        return document, arrays
    if type(warp) is ResidualWarp:
        arrays = {"grid": warp.grid, "low": warp.low, "high": warp.high}
        return {"kind": "residual", **_span(warp)}, arrays
    raise InputError(
        "warp",
        expected="an IdentityWarp, a RigidWarp, a BonesWarp or a ResidualWarp",
        got=type(warp).__name__,
        fix="teach recon4d/scene/codec.py to store it",
    )


def warp_members(node: Node, *, residual: bool = True) -> tuple[str, dict[str, Node]]:
    """Kind and members of a warp's document, which has just the keys of its kind; bases may not be residuals."""
    members = node.members()
    if "kind" not in members:
        raise node.error("a warp with a kind", "no 'kind'")
    kind = members["kind"].choice(*(known for known in _KINDS if residual or known != "residual"))
    return kind, node.object("kind", *_KINDS[kind])


def decode_warp(kind: str, members: Mapping[str, Node], table: ArrayTable, count: int, base: Warp | None) -> Warp:
    """The warp of its document, arrays and base (a residual has one), for `count` surfels."""
    if kind == "identity":
        return IdentityWarp()
    if kind == "rigid":
        warp: Warp = RigidWarp(_spline(table, "path", members["path"], ()))
    elif kind == "residual":
        assert base is not None
        warp = ResidualWarp(
            base,
            grid=table.take("grid", (None, None, None, None, 3)),
            low=table.take("low", (3,)),
            high=table.take("high", (3,)),
            start=members["start"].number(),
            step=members["step"].number(),
        )
    else:
        rest_translations = table.take("rest_translations", (None, 3))
        bones = rest_translations.shape[0]
        warp = BonesWarp(
            root=None if members["root"].value is None else _spline(table, "root", members["root"], ()),
            rest_rotations_wxyz=table.take("rest_rotations_wxyz", (bones, 4)),
            rest_translations=rest_translations,
            path=_spline(table, "path", members["path"], (bones,)),
            weight_indices=table.take("weight_indices", (count, 4), torch.int64),
            weights=table.take("weights", (count, 4)),
            blend=cast(Any, members["blend"].choice("linear", "dual_quaternion")),
        )
    table.finish()
    return warp


def _span(curve: SE3Spline | ResidualWarp) -> dict[str, float]:
    return {"start": float(curve.start), "step": float(curve.step)}


def _poses(name: str, spline: SE3Spline) -> Arrays:
    return {f"{name}_rotations_wxyz": spline.rotations_wxyz, f"{name}_translations": spline.translations}


def _spline(table: ArrayTable, name: str, node: Node, batch: tuple[int, ...]) -> SE3Spline:
    span = node.object("start", "step")
    return SE3Spline(
        table.take(f"{name}_rotations_wxyz", (*batch, None, 4)),
        table.take(f"{name}_translations", (*batch, None, 3)),
        span["start"].number(),
        span["step"].number(),
    )
