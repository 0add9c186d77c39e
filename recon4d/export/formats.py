"""The formats that a scene can be exported to, by name, and the one door to all of them.

To add a format: write `export(scene, request) -> ExportResult` in a file of its own, and add an entry here that imports
it when it is called.  Exporters write through `places.staged_file` or `places.staged_folder`, so that nothing
half-written is left.  Does NOT write anything itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recon4d.core import InputError
from recon4d.export.places import check_place
from recon4d.export.request import ExportRequest, ExportResult, check_request
from recon4d.scene import Scene

Exporter = Callable[[Scene, ExportRequest], ExportResult]


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        title: what it is, in a few words.
        suffixes: of the file, the usual one first; none where a folder is written.
        export: writes it.
    """

    title: str
    suffixes: tuple[str, ...]
    export: Exporter


# An entry names a function of this file that imports the exporter when it is called, so that the list costs nothing.
FORMATS: dict[str, Format] = {}


def export_scene(scene: Scene, name: str, request: ExportRequest) -> ExportResult:
    """Write a scene in the format of that name.

    Args:
        scene: with its edits applied; never changed.
        name: one of `FORMATS`.
        request: what to write where.

    Raises:
        InputError: an unknown format, a wrong request, a scene that has nothing to show, or a place that cannot be
            written.  Nothing is left there then.
    """
    if name not in FORMATS:
        raise InputError(
            "format", expected=f"one of {', '.join(FORMATS)}", got=repr(name[:40]), fix="see docs/export.md"
        )
    chosen = FORMATS[name]
    check_request(scene, request)
    check_place(Path(request.path), chosen.suffixes, overwrite=request.overwrite)
    return chosen.export(scene, request)
