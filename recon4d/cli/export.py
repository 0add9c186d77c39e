"""`recon4d export`: a scene in a file that other programs open."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Literal

from recon4d.cli.console import print_line, progress
from recon4d.core import InputError
from recon4d.editors import open_view
from recon4d.export.formats import export_scene
from recon4d.export.request import ExportRequest, ExportResult


def write_export(path: Path, to: str, texture: str, request: ExportRequest, *, quiet: bool) -> None:
    """Export the scene in the folder `path`, its edits applied, and say what was written unless `quiet`."""
    request = dataclasses.replace(request, texture=_parse_texture(texture), scene_path=path)
    scene = open_view(path)
    began = time.perf_counter()
    with progress(quiet=quiet) as tell:
        result = export_scene(scene, to, dataclasses.replace(request, progress=tell))
    if not quiet:
        _report(result, time.perf_counter() - began)


def _parse_texture(text: str) -> int | Literal["vertex"]:
    if text == "vertex":
        return "vertex"
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise InputError("--texture", expected="a size in pixels, or vertex", got=repr(text[:40]), fix="write 1024")
    return int(text)


def _report(result: ExportResult, seconds: float) -> None:
    for name, value in result.numbers.items():
        print_line(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    for warning in result.warnings:
        print_line(f"warning: {warning}")
    print_line(f"Exported in {seconds:.1f} s:")
    for file in result.files:
        size = f" ({file.stat().st_size / 1e6:.2f} MB)" if file.is_file() else ""
        print_line(f"  {file}{size}")
