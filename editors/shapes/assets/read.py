"""Opens a file as an asset, whatever kind it is.  The kinds themselves are read by the modules beside this one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Int64

from recon4d import scene as scenes
from recon4d.core import InputError, Similarity, Surfels, quaternion
from recon4d.data.gltf import GltfFile
from recon4d.editors.shapes.assets import splat_files, splats
from recon4d.editors.shapes.assets.asset import Asset, AssetMesh
from recon4d.editors.shapes.assets.glb import read_glb
from recon4d.editors.shapes.assets.obj import read_obj
from recon4d.editors.shapes.assets.ply_table import PlyTables, read_capped, read_ply, wrong
from recon4d.editors.shapes.assets.sampling import mesh_surfels, sample_mesh
from recon4d.editors.shapes.placing import place
from recon4d.field import Field, IdentityWarp

MAX_SURFELS = 2_000_000
KINDS = (".glb", ".ply", ".obj", ".splat", ".spz", ".sog")
_GRAY = 0.7
# Rows: where the asset's x, y and z axes come from, in the file's axes; a file that looks along +x, +y or +z.
_AXES_BY_UP = {
    "+z": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "-z": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "+y": ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
    "-y": ((0, 0, 1), (-1, 0, 0), (0, -1, 0)),
    "+x": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    "-x": ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
}
UP_AXES = tuple(_AXES_BY_UP)


def read_asset(
    path: str | Path,
    *,
    surfels: int = 30_000,
    up: str | None = None,
    action: str | None = None,
    hide: Sequence[str] = (),
    layer: str | None = None,
) -> Asset:
    """The asset in a file or a scene folder.

    * `.glb`: triangles become surfels with the colours of their materials; skins and animation become bones.
    * `.ply` with splats (3-scale, 2-scale, compressed), `.splat`, `.glb` with KHR_gaussian_splatting, and `.spz` and
      `.sog` where splat-transform is installed: each Gaussian becomes a surfel in its two largest axes.
    * `.ply` and `.obj` with triangles: surfels with the colours of the vertices, gray where there are none.
    * `.r4d`: the surfels and the motion of one layer.

    Args:
        path: the file.
        surfels: how many to spread over triangles.
        up: the axis that is up in the file: "+x", "-x", "+y", "-y", "+z" or "-z".  When None: +y for .glb and .obj, -y
            for splats in other files (as 3D Gaussian Splatting writes them), +z for the others.
        action: animation of a .glb, the first when None.
        hide: names of nodes of a .glb to leave out; * and ? stand for any letters.
        layer: layer of a .r4d; when None the object with the most surfels.

    Returns:
        the asset with z up, in the file's units, as float32.

    Raises:
        InputError: a file that is missing, of another kind, damaged, hostile or too large, or an unknown name.
    """
    path = Path(path)
    if not 1 <= surfels <= MAX_SURFELS:
        raise InputError("surfels", expected=f"1 to {MAX_SURFELS}", got=str(surfels), fix="30000 is a good number")
    if up is not None and up not in _AXES_BY_UP:
        raise InputError("up", expected=" or ".join(UP_AXES), got=repr(up), fix="name the axis that points up")
    kind = path.suffix.lower()
    if kind == ".r4d":
        return _turned(_from_scene(path, layer), up or "+z")
    if kind not in KINDS:
        expected = f"a {', '.join(KINDS)} or .r4d"
        raise InputError(str(path), expected=expected, got=kind or "no suffix", fix="convert the asset to one")
    content = read_capped(path)
    sha256 = hashlib.sha256(content).hexdigest()
    if kind == ".splat":
        return _turned(_from_splats(path, splat_files.surfels_of_splat(path, content), sha256), up or "-y")
    if kind in (".spz", ".sog"):
        return _turned(_from_splats(path, splats.surfels_of(splat_files.unpacked(path)), sha256), up or "-y")
    if kind == ".glb":
        if splat_files.has_splats(file := GltfFile(path)):
            return _turned(_from_splats(path, splat_files.surfels_of_gltf(file), sha256), up or "+y")
        asset = read_glb(path, surfels=surfels, action=action, hide=hide, sha256=sha256)
        # The reader has taken +y for up.
        return asset if up in (None, "+y") else _turned(_turned(asset, "+y", back=True), up)
    if kind == ".obj":
        return _turned(_from_triangles(path, *read_obj(path), surfels, sha256), up or "+y")
    ply = read_ply(path)
    if splats.is_splats(ply):
        return _turned(_from_splats(path, splats.surfels_of(ply), sha256), up or "-y")
    vertices, faces, colors = _triangles(ply)
    return _turned(_from_triangles(path, vertices, faces, colors, surfels, sha256), up or "+z")


def _from_scene(path: Path, layer: str | None) -> Asset:
    scene = scenes.load(path)
    if not scene.layers:
        raise InputError(str(path), expected="a scene with a layer", got="none", fix="choose another scene")
    objects = [each for each in scene.layers if each.kind == "object"] or scene.layers
    chosen = scene.layer(layer) if layer is not None else max(objects, key=lambda each: len(each.field))
    if not len(chosen.field) or chosen.field.canonical.sh is None:
        raise InputError(str(path), expected="a layer of surfels with sh", got=chosen.name, fix="choose another layer")
    field = replace(chosen.field.to(torch.float32), ids=torch.arange(len(chosen.field)))
    names = tuple(f"bone_{i}" for i in range(len(getattr(field.warp.underlying, "rest_translations", ()))))
    still = isinstance(field.warp, IdentityWarp)
    duration = 0.0 if still else float(scene.frame_times[-1])
    return Asset(chosen.name, field, None, names, duration, 0.0, scenes.content_hash(path))


def _from_splats(path: Path, surfels: Surfels, sha256: str) -> Asset:
    if len(surfels) > MAX_SURFELS:
        raise wrong(path, "splats", f"at most {MAX_SURFELS}", str(len(surfels)))
    bad = [name for name, tensor in surfels.tensors().items() if not bool(tensor.isfinite().all())]
    if bad:
        raise wrong(path, "splats", "finite numbers", f"NaN or infinity in {', '.join(bad)}")
    name = path.name.removesuffix(path.suffix).removesuffix(".compressed")
    return Asset(name, Field(surfels, torch.arange(len(surfels)), IdentityWarp()), None, sha256=sha256)


def _triangles(
    ply: PlyTables,
) -> tuple[Float64[np.ndarray, "v 3"], Int64[np.ndarray, "f 3"], Float64[np.ndarray, "v 3"] | None]:
    vertices = ply.stack("vertex", ("x", "y", "z"))
    if ply.faces is None or not len(ply.faces):
        raise ply.fail("element face", "splats (scale_0, rot_0, ...) or triangles", "only points")
    if ply.faces.min() < 0 or ply.faces.max() >= len(vertices):
        raise ply.fail("element face", f"vertices 0 to {len(vertices) - 1}", str(ply.faces.max()))
    names = ("red", "green", "blue")
    if not all(name in ply.columns["vertex"] for name in names):
        return vertices, ply.faces, None
    unit = ply.kinds["vertex"]["red"].startswith("f")
    return vertices, ply.faces, np.clip(ply.stack("vertex", names) / (1 if unit else 255), 0, 1)


def _from_triangles(
    path: Path,
    vertices: Float64[np.ndarray, "v 3"],
    faces: Int64[np.ndarray, "f 3"],
    colors: Float64[np.ndarray, "v 3"] | None,
    surfels: int,
    sha256: str,
) -> Asset:
    if not len(faces):
        raise InputError(path.name, expected="triangles", got="none", fix="export the mesh with its faces")
    face, barycentric = sample_mesh(vertices, faces, surfels)
    painted = np.full((len(vertices), 3), _GRAY) if colors is None else colors
    seen = (painted[faces[face]] * barycentric[..., None]).sum(1)
    canonical = mesh_surfels(vertices, faces, face, barycentric, seen)
    mesh = AssetMesh(vertices, faces, face, barycentric)
    return Asset(path.stem, Field(canonical, torch.arange(surfels), IdentityWarp()), mesh, sha256=sha256)


def _turned(asset: Asset, up: str, *, back: bool = False) -> Asset:
    """The asset with the file's `up` along +z; `back` undoes that."""
    if up == "+z":
        return asset
    axes = torch.tensor(_AXES_BY_UP[up], dtype=torch.float64)
    axes = axes.T if back else axes
    turn = quaternion.from_matrix(axes)
    pose = Similarity(torch.ones((), dtype=torch.float64), turn, torch.zeros(3, dtype=torch.float64))
    mesh = asset.mesh
    if mesh is not None and isinstance(asset.field.warp, IdentityWarp):
        # The canonical state of what stands still is turned itself, see `place`.
        mesh = replace(mesh, vertices=mesh.vertices @ axes.numpy().T)
    return replace(asset, field=place(asset.field, pose), mesh=mesh)
