"""A disk that really fills up: one line whatever the stage, and the job goes on when there is room again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import recon4d
from tests.pipeline import filling, tiny

MOUNT = 'mount -t tmpfs -o size=6m none "$1" && shift && exec "$@"'


def small_disk(folder: Path) -> list[str]:
    """A command in front of another, which then has a small file system of its own; empty where that is not allowed."""
    for options in (["-m"], ["-r", "-m"]):
        command = ["unshare", *options, "sh", "-c", MOUNT, "sh", str(folder)]
        if (
            shutil.which("unshare")
            and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
        ):
            return command
    return []


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return tiny.clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 6)


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on files")
@pytest.mark.parametrize("stage", ["ingest", "fit", "write"])
def test_a_disk_that_is_full_is_one_line_and_the_job_goes_on_later(tmp_path, clip, stage):
    disk = tmp_path / "disk"
    disk.mkdir()
    # Where no file system can be mounted, a limit on the size of files makes writes fail as well.
    before = small_disk(disk)
    way = "tmpfs" if before else "limit"
    root = Path(recon4d.__file__).parent.parent
    done = subprocess.run(
        [*before, sys.executable, filling.__file__, str(clip), str(disk), stage, way],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert f"{disk}/.o.r4d.work: expected room for the work files, got " in told["line"]
    assert told["line"].endswith("Fix: free some space, then go on with --resume")
    assert "\n" not in told["line"]
    assert not told["line"].count("got OSError")
    assert told["left"] == [".o.r4d.work"]
    assert told["resumed"]
