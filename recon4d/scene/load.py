"""Reading a scene folder.

Nothing in the folder is trusted: sizes are checked against files before anything is allocated, names against a
pattern, hashes against contents, values against their ranges.  Arrays stay mapped from the files until they are used.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch

from recon4d.core import Camera, SceneFormatError
from recon4d.field import Field, Warp
from recon4d.scene import checks, codec
from recon4d.scene.arrays import MAX_FILE_BYTES, map_arrays
from recon4d.scene.document import DAMAGED, MAX_DOCUMENT_BYTES, Node, canonical_bytes, parse
from recon4d.scene.folder import DOCUMENT, is_plain_name, locked, open_regular
from recon4d.scene.migrate import migrate
from recon4d.scene.scene import LAYER_KINDS, Layer, Scene

_KEYS = ("format", "format_version", "units", "times", "cameras", "layers", "provenance")
_MAX_SURFELS = 2**40


def load(path: str | os.PathLike[str]) -> Scene:
    """Read a scene folder, of this or any earlier version of the format.

    Tensors are mapped from the files copy-on-write: changing them does not change the files, and a later `save` to the
    same folder does not change them.

    Raises:
        SceneFormatError: naming file and field, when anything is missing, damaged, hostile or too new.
    """
    folder = _folder(path)
    with locked(folder, exclusive=False):
        document = _read_document(folder)
        return _Reader(folder).scene(document)


def content_hash(path: str | os.PathLike[str]) -> str:
    """Hash (SHA-256, hexadecimal) of what a scene shows: all that scene.json names, without its provenance.

    Scenes of equal frames, cameras, layers and arrays have equal hashes, wherever and whenever they were saved.  The
    array files are read and compared with the hashes that scene.json has of them.

    Raises:
        SceneFormatError: when the document or a file is damaged.
    """
    folder = _folder(path)
    with locked(folder, exclusive=False):
        document = _read_document(folder)
        reader = _Reader(folder)
        for layer in document["layers"].items(at_most=checks.MAX_LAYERS):
            members = _layer_members(layer)
            for node in (members["arrays"], *_warp_files(members["warp"])):
                reader.map_file(node)
    content = {key: node.value for key, node in document.items() if key != "provenance"}
    # What a later version says in the same way keeps the hash that version 1 gave it, so that edits find their base.
    content["format_version"] = 1
    return hashlib.sha256(canonical_bytes(content)).hexdigest()


def _folder(path: str | os.PathLike[str]) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing there"
        raise SceneFormatError(str(folder), expected="the folder of a scene", got=got, fix="check the path")
    return folder


def _read_document(folder: Path) -> dict[str, Node]:
    file = str(folder / DOCUMENT)
    descriptor = open_regular(folder, DOCUMENT)
    with open(descriptor, "rb") as stream:
        size = os.fstat(descriptor).st_size
        if size > MAX_DOCUMENT_BYTES:
            raise Node(file, "", None).error(f"at most {MAX_DOCUMENT_BYTES} bytes", f"{size} bytes")
        # The file may grow while it is read, hence the limit here too; a document cut short is no JSON.
        data = stream.read(size)
    return migrate(parse(data, file)).object(*_KEYS)


def _layer_members(node: Node) -> dict[str, Node]:
    return node.object("name", "kind", "count", "arrays", "warp")


def _warp_files(node: Node, *, residual: bool = True) -> Iterator[Node]:
    """The files of a warp and its base."""
    _, members = codec.warp_members(node, residual=residual)
    if "base" in members:
        yield from _warp_files(members["base"], residual=False)
    if "arrays" in members:
        yield members["arrays"]


class _Reader:
    """Decodes one document; maps every file once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mapped: dict[tuple[str, int, str], mmap.mmap] = {}

    def scene(self, document: dict[str, Node]) -> Scene:
        file = document["times"].file
        units = document["units"].object("metres_per_unit")["metres_per_unit"]
        metres_per_unit = None if units.value is None else units.number()
        cameras = [self._camera(node) for node in document["cameras"].items()]
        layers = [self._layer(node) for node in document["layers"].items(at_most=checks.MAX_LAYERS)]
        times = torch.tensor(document["times"].numbers(), dtype=torch.float64)
        provenance = document["provenance"].value
        with checks.within(file, separator=": ", corrupt=True):
            checks.check_frames(times, cameras)
            checks.check_units(metres_per_unit)
            checks.check_layer_names(layers)
            checks.check_provenance(provenance)
        return Scene(times, cameras, layers, metres_per_unit, provenance)

    def map_file(self, node: Node) -> tuple[mmap.mmap, str]:
        """Map the file that a document names, after comparing its size and hash; also its path, for errors."""
        members = node.object("file", "bytes", "sha256")
        name, sha256 = members["file"].text(), members["sha256"].text()
        size = members["bytes"].whole(least=8, most=MAX_FILE_BYTES)
        if not is_plain_name(name):
            raise members["file"].error("a plain file name that ends in .safetensors")
        file = str(self.folder / name)
        key = (name, size, sha256)
        if key in self._mapped:
            return self._mapped[key], file
        descriptor = open_regular(self.folder, name)
        try:
            found = os.fstat(descriptor).st_size
            if found != size:
                raise SceneFormatError(file, expected=f"{size} bytes", got=f"{found} bytes", fix=DAMAGED)
            try:
                buffer = mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)
            except OSError as error:
                raise SceneFormatError(
                    file, expected="a file that can be mapped", got=str(error), fix="copy it to a local disk"
                ) from None
        finally:
            os.close(descriptor)
        digest = hashlib.sha256(buffer).hexdigest()
        if digest != sha256:
            raise SceneFormatError(file, expected=f"the hash {sha256[:16]}...", got=f"{digest[:16]}...", fix=DAMAGED)
        self._mapped[key] = buffer
        return buffer, file

    def _camera(self, node: Node) -> Camera:
        with checks.within(f"{node.file}: {node.field}", corrupt=True):
            return codec.decode_camera(node, largest_side=checks.MAX_IMAGE_SIDE)

    def _layer(self, node: Node) -> Layer:
        members = _layer_members(node)
        name, kind = members["name"].text(), members["kind"].choice(*LAYER_KINDS)
        count = members["count"].whole(least=0, most=_MAX_SURFELS)
        table = self._table(members["arrays"])
        surfels, ids, refined = codec.decode_surfels(table, count)
        with checks.within(table.file, separator=": ", corrupt=True):
            checks.check_surfels(surfels)
            checks.check_ids(ids)
            if refined is not None:
                checks.check_refined(refined, surfels)
        warp, warp_file = self._warp(members["warp"], node.field, count)
        with checks.within(f"{warp_file or table.file}, for {node.field}", separator=": ", corrupt=True):
            return Layer(name, cast(Any, kind), Field(surfels, ids, warp, refined))

    def _warp(self, node: Node, owner: str, count: int, *, residual: bool = True) -> tuple[Warp, str | None]:
        """A warp, its base with it, and the file of its arrays, if any."""
        kind, members = codec.warp_members(node, residual=residual)
        base = self._warp(members["base"], owner, count, residual=False)[0] if "base" in members else None
        table = self._table(members["arrays"]) if "arrays" in members else None
        with checks.within(f"{table.file if table else node.file}, for {owner}", separator=": ", corrupt=True):
            warp = codec.decode_warp(kind, members, table or codec.ArrayTable({}, node.file), count, base)
            checks.check_warp(warp, node.field.removeprefix(f"{owner}."))
        return warp, table.file if table else None

    def _table(self, node: Node) -> codec.ArrayTable:
        buffer, file = self.map_file(node)
        return codec.ArrayTable(map_arrays(buffer, file), file)
