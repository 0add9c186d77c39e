"""Small random scenes for the tests of this room, and helpers to look at their files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch

from recon4d.core import Camera, Surfels, quaternion
from recon4d.core.spline import SE3Spline
from recon4d.field import BonesWarp, Field, IdentityWarp, Refined, ResidualWarp, RigidWarp, Warp
from recon4d.scene import Layer, Scene

PLAIN_KINDS = ("identity", "rigid", "linear", "dual_quaternion", "rootless")
WARP_KINDS = (*PLAIN_KINDS, *(f"residual {kind}" for kind in PLAIN_KINDS))


def make_spline(generator, *batch, count=5, dtype=torch.float32):
    rotations = quaternion.exp(torch.randn(*batch, count, 3, generator=generator, dtype=dtype))
    return SE3Spline(rotations, torch.randn(*batch, count, 3, generator=generator, dtype=dtype), 0.1, 1 / 3)


def make_warp(kind, points, generator, bones=3, dtype=torch.float32):
    if kind == "identity":
        return IdentityWarp()
    if kind == "rigid":
        return RigidWarp(make_spline(generator, dtype=dtype))
    if kind.startswith("residual "):
        grid = torch.randn(5, 2, 3, 4, 3, generator=generator, dtype=dtype)
        low = -torch.rand(3, generator=generator, dtype=dtype)
        base = make_warp(kind.removeprefix("residual "), points, generator, bones, dtype)
        return ResidualWarp(base, grid, low, low + 2, 0.1, 1 / 3)
    return BonesWarp(
        root=None if kind == "rootless" else make_spline(generator, count=7, dtype=dtype),
        rest_rotations_wxyz=torch.randn(bones, 4, generator=generator, dtype=dtype),
        rest_translations=torch.randn(bones, 3, generator=generator, dtype=dtype),
        path=make_spline(generator, bones, dtype=dtype),
        weight_indices=torch.randint(0, bones, (points, 4), generator=generator),
        weights=torch.randn(points, 4, generator=generator, dtype=dtype).softmax(-1),
        blend="linear" if kind == "rootless" else kind,
    )


def make_field(kind="linear", points=6, sh=4, features=None, seed=0, dtype=torch.float32, refined=False):
    generator = torch.Generator().manual_seed(seed)
    surfels = Surfels(
        centers=torch.randn(points, 3, generator=generator, dtype=dtype),
        rotations_wxyz=torch.randn(points, 4, generator=generator, dtype=dtype),
        scales=torch.rand(points, 2, generator=generator, dtype=dtype),
        opacities=torch.rand(points, generator=generator, dtype=dtype),
        sh=None if sh is None else torch.randn(points, sh, 3, generator=generator, dtype=dtype),
        features=None if features is None else torch.randn(points, features, generator=generator, dtype=dtype),
    )
    ids = torch.randperm(points, generator=generator) + 2**62
    warp = make_warp(kind, points, generator, dtype=dtype)
    if not refined:
        return Field(surfels, ids, warp)
    turns = torch.randn(points, 4, generator=generator, dtype=dtype)
    return Field(surfels, ids, warp, Refined(turns, torch.rand(points, 2, generator=generator, dtype=dtype)))


def make_scene(kind="linear", seed=0, frames=3, **options):
    times = torch.arange(frames, dtype=torch.float64) / 3 + 0.1
    cameras = [
        Camera.look_at((3.0 + 0.1 * i, 1.0, 0.5), width=640, height=480, dtype=options.get("dtype", torch.float32))
        for i in range(frames)
    ]
    layers = [
        Layer("subject", "object", make_field(kind, seed=seed, **options)),
        Layer("Hintergrund, weiß", "background", make_field("identity", points=4, seed=seed + 1)),
    ]
    return Scene(times, cameras, layers, 0.25, {"seed": seed, "metrics": {"psnr": 31.5}, "input": None, "list": [1]})


def warp_values(warp):
    """Everything in a warp: its type, its tensors, its plain values, its base."""
    plain = {k: v for k, v in vars(warp).items() if not isinstance(v, torch.Tensor | SE3Spline | Warp)}
    spans = {k: (v.start, v.step) for k, v in vars(warp).items() if isinstance(v, SE3Spline)}
    base = warp_values(warp.base) if isinstance(warp, ResidualWarp) else None
    return type(warp), plain, spans, bits(warp.tensors()), base


def bits(tensors):
    """Types, shapes and exact bytes of named tensors."""
    return {
        k: (v.dtype, tuple(v.shape), v.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        for k, v in tensors.items()
    }


def values(scene):
    """A scene as plain values that are equal exactly when the scenes are equal to the bit."""
    return (
        bits({"times": scene.frame_times}),
        [(bits({"K": c.K, "pose": c.cam_from_world}), c.width, c.height) for c in scene.cameras],
        [
            (
                layer.name,
                layer.kind,
                bits(layer.field.canonical.tensors() | {"ids": layer.field.ids}),
                warp_values(layer.field.warp),
                None if layer.field.refined is None else bits(layer.field.refined.tensors()),
            )
            for layer in scene.layers
        ],
        scene.metres_per_unit,
        scene.provenance,
    )


def files_in(folder):
    """Bytes of every file in a folder, by name."""
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def document_of(folder):
    return json.loads((Path(folder) / "scene.json").read_text())


def write_document(folder, document):
    (Path(folder) / "scene.json").write_text(json.dumps(document))


def rewrite_arrays(folder, entry, data):
    """Exchange an array file for other bytes, with size and hash in the document to match, as an attacker would."""
    document = document_of(folder)
    for layer in document["layers"]:
        for owner in (layer, layer["warp"], layer["warp"].get("base", {})):
            if owner.get("arrays", {}).get("file") == entry:
                owner["arrays"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (Path(folder) / entry).write_bytes(data)
    write_document(folder, document)
