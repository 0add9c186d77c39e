"""SOG and SPZ files, packed by the program `splat-transform` of PlayCanvas where that is installed.

Does NOT pack anything itself: both formats are their authors' to write.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from recon4d.core import InputError
from recon4d.data.files import atomic_path
from recon4d.export.splats.ply import write_splat_ply
from recon4d.export.splats.state import Splats

PROGRAM = "splat-transform"
# More programs read version 3 of SPZ than 4.  SOG is packed on the CPU: a GPU is not needed for it.
_OPTIONS = {".spz": ("--spz-version", "3"), ".sog": ("--gpu", "cpu")}
_SECONDS = 1800


def find_program() -> str:
    """The program's path.

    Raises:
        InputError: it is not installed.
    """
    found = shutil.which(PROGRAM)
    if found is None:
        raise InputError(
            PROGRAM,
            expected="the program that packs SOG and SPZ files",
            got="none on the path",
            fix="npm install -g @playcanvas/splat-transform, or export --to splats",
        )
    return found


def write_packed(path: Path, splats: Splats) -> None:
    """Write a .sog or .spz file, whole or not at all.

    Raises:
        InputError: the program is not installed, or fails.
    """
    program = find_program()
    with tempfile.TemporaryDirectory() as folder, atomic_path(path) as temporary:
        source = Path(folder) / "splats.ply"
        write_splat_ply(source, splats)
        command = [program, "--quiet", "--overwrite", *_OPTIONS[path.suffix.lower()], str(source), str(temporary)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _failed(path, str(error)) from None
        if done.returncode or not temporary.stat().st_size:
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise _failed(path, lines[-1] if lines else f"exit code {done.returncode}")


def _failed(path: Path, message: str) -> InputError:
    return InputError(
        str(path), expected=f"{PROGRAM} to pack the splats", got=message[:200], fix="update it, or export --to splats"
    )
