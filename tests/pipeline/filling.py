"""A job on a disk that fills up as one of its stages begins, in its own process; with room again it goes on.

    python tests/pipeline/filling.py SOURCE FOLDER STAGE tmpfs|limit

`tmpfs`: FOLDER is the root of a small file system of its own, which is filled up.  `limit`: no file may grow beyond a
few kilobytes, which needs no rights and fails as a full disk does, but for files with holes.  Prints a JSON object.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import torch

from recon4d.core import InputError
from recon4d.pipeline import StageStarted, reconstruct, resources
from tests.pipeline import tiny

ROOM = 6 << 10


class Filler:
    """Takes the room on a disk, and gives it back."""

    def __init__(self, folder: Path, way: str) -> None:
        self.file, self.way = folder / "filler", way

    def fill(self) -> None:
        if self.way == "limit":
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))
            return
        with self.file.open("wb", buffering=0) as stream, suppress(OSError):
            while True:
                stream.write(bytes(4096))
        os.truncate(self.file, self.file.stat().st_size - ROOM)

    def free(self) -> None:
        if self.way == "limit":
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        else:
            self.file.unlink()


def main(source: str, folder: str, stage: str, way: str) -> None:
    torch.set_num_threads(1)
    resources.require = lambda *_: None  # Which would foresee it.
    filler, output = Filler(Path(folder), way), Path(folder) / "o.r4d"
    config = tiny.config(iterations=8, checkpoint_seconds=0.0)

    def listen(event: object) -> None:
        if isinstance(event, StageStarted) and event.stage == stage:
            filler.fill()

    try:
        reconstruct(source, output, tiny.settings(), config=config, listen=listen)
        line = "none"
    except InputError as error:
        line = str(error)
    left = sorted(path.name for path in Path(folder).iterdir() if path != filler.file)
    filler.free()
    made = reconstruct(source, output, tiny.settings(), config=config, resume=True)
    print(json.dumps({"line": line, "left": left, "resumed": made.scene.is_dir()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
