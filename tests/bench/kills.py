"""Kills a job with SIGKILL at random moments until it has been killed so often, then lets it finish.

    python -m tests.bench.kills [--source VIDEO] [--kills 10] [--seed 0]

Compares the scene with that of an unbroken run, byte by byte, and checks after each kill that nothing stands
half-written at the place of the result.  Without a video it makes a small one of its own, with a small fit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.pipeline import tiny

ROOT = Path(__file__).resolve().parents[2]


def digest(scene: Path) -> str:
    """SHA-256 of the scene's files but report and metrics, which hold times of the clock."""
    total = hashlib.sha256()
    for path in sorted(scene.iterdir()):
        if path.name not in ("report.html", "metrics.json"):
            total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--preset", default="draft")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = np.random.default_rng(options.seed)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.source is None:
            source = tiny.clip(folder / "clip.mp4", 24, 64)
            command = [sys.executable, tiny.__file__, str(source)]
        else:
            source = options.source
            command = [sys.executable, "-m", "recon4d", "reconstruct", str(source), "--preset", options.preset]
            command += ["--quiet", "-o"]

        def start(output: Path, *rest: str) -> subprocess.Popen[bytes]:
            return subprocess.Popen([*command, str(output), *rest], env=environment, cwd=ROOT)

        begun = time.monotonic()
        assert start(folder / "whole.r4d").wait() == 0
        whole = time.monotonic() - begun
        print(f"unbroken: {whole:.1f} s")
        output, kills = folder / "killed.r4d", 0
        while True:
            process = start(output, *(["--resume"] if kills else []))
            if kills < options.kills:
                # Shorter and shorter: what is done stays done.
                time.sleep(float(chance.uniform(0.3, 1.0)) * whole / (1 + kills / 2))
                process.send_signal(signal.SIGKILL)
            code = process.wait()
            if code == -signal.SIGKILL:
                kills += 1
                if output.exists():
                    # Killed on its way out, with the result in its place: that is the whole one, and another begins.
                    assert digest(output) == digest(folder / "whole.r4d"), "half a result stands at its place"
                    print(f"kill {kills}: after the scene was in its place")
                    shutil.rmtree(output)
                    continue
                left = sorted(p.name for p in (folder / ".killed.r4d.work").glob("*"))
                print(f"kill {kills}: {len(left)} entries in the work folder")
                continue
            assert code == 0, code
            if kills >= options.kills:
                break
            # Finished before it could be killed: begin another.
            print("finished early")
            shutil.rmtree(output)
        same = digest(output) == digest(folder / "whole.r4d")
        print(f"{kills} kills: {'the same scene' if same else 'ANOTHER SCENE'}")
        return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
