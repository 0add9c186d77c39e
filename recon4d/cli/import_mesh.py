"""`recon4d import-mesh`: what was done to an exported mesh in another program, as an edit of the scene."""

from __future__ import annotations

from pathlib import Path

from recon4d.cli.console import print_line
from recon4d.core import InputError
from recon4d.editors import Session, evaluate
from recon4d.editors.asset_files import FOLDER
from recon4d.editors.edits.mesh import MeshEdit
from recon4d.editors.history import Add
from recon4d.editors.mesh_edit import MeshChange
from recon4d.editors.store import cannot_write
from recon4d.export.mesh.import_back import read_mesh_change
from recon4d.scene import load
from recon4d.scene.arrays import to_blob
from recon4d.scene.folder import sync_folder, write_atomic


def import_mesh(
    path: Path, edited: Path, *, original: Path, layer: str | None, painted: Path | None, quiet: bool
) -> None:
    """Add an edit to the scene in the folder `path`, and say what it changes unless `quiet`."""
    scene = load(path)
    session = Session(path)
    name, change = read_mesh_change(original, edited, layer, painted)
    if all(layer.name != name for layer in scene.layers):
        names = ", ".join(repr(layer.name) for layer in scene.layers)
        raise InputError("layer", expected=f"one of {names}", got=repr(name), fix="check that the mesh is this scene's")
    blob = to_blob(change.tensors())
    file = f"mesh-{blob.sha256[:32]}.safetensors"
    edit = MeshEdit(name=edited.name[:100], layer=name, path=f"{FOLDER}/{file}", sha256=blob.sha256)
    try:
        (path / FOLDER).mkdir(exist_ok=True)
        write_atomic(path / FOLDER, file, blob.pieces)
        sync_folder(path / FOLDER)
    except OSError as error:
        raise cannot_write(path / FOLDER / file, error) from error
    # Tried on the scene before it is written down.
    evaluate(scene, session.stack.add(edit), folder=path)
    session.do(Add((edit,)))
    if not quiet:
        _report(name, change)


def _report(name: str, change: MeshChange) -> None:
    size = float((change.before.amax(0) - change.before.amin(0)).norm())
    moved = (change.after - change.before).norm(dim=-1) / max(size, 1e-12)
    count = int((moved > 1e-6).sum())
    print_line(f"{name}: {count} of {len(moved)} vertices moved, by up to {100 * float(moved.max()):.3g} % of the size")
    painted = len(change.paint) or int((change.vertex_paint.abs().amax(-1) > 0).sum())
    print_line(f"{name}: {painted} {'texels' if len(change.paint) else 'vertices'} repainted")
    print_line("It is an edit like any other: recon4d edit --list shows it, --undo takes it back.")
