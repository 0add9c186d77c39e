"""What a reconstruction will need of the machine, and whether it is there: said before the work starts.

Estimates are deliberately simple and a little high.  Does NOT limit anything while the work goes on.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from recon4d.core import InputError
from recon4d.train import FitConfig

_MIB = 1 << 20
# Torch, decoders and kernels once they are loaded, with an image or two at hand.
_BASE_BYTES = 500 * _MIB
# A surfel in the fit: parameters, gradients, both moments of Adam, and what the warp keeps for the way back.
_SURFEL_BYTES = 12_000
# A pixel while it is drawn: outputs, their gradients, targets and the losses' buffers, as 4-byte floats.
_PIXEL_BYTES = 400
# A pixel of a frame that is held: colour and mask in the work folder's files, which count while they are mapped (4);
# in the fit at all sizes (8); what is made on the way in other stages, or of transparent frames (6).
_FRAME_PIXEL_BYTES = 18
_DEPTH_PIXEL_BYTES = 10  # As 4-byte floats, as found and at all sizes.
_FOLLOWED_PIXEL_BYTES = 5  # Of a frame in which motion is followed: gray, and masks while they are made.
_STORED_PIXEL_BYTES = 6
_STORED_DEPTH_BYTES = 2
_STORED_SURFEL_BYTES = 2_000
_RESULT_BYTES = 24 * _MIB


@dataclass(frozen=True)
class Needs:
    """Estimates in bytes."""

    memory: int
    disk: int


def estimate(
    frames: int,
    size: tuple[int, int],
    config: FitConfig,
    *,
    objects: int = 1,
    followed: int | None = None,
    depth: bool = False,
) -> Needs:
    """What a job will need.

    Args:
        frames: that are fitted or measured.
        size: (width, height) that they are used at.
        config: settings of the fit.
        objects: layers of the scene.
        followed: frames that motion is followed in; `frames` where that is None.
        depth: whether depth maps take part.
    """
    followed = max(frames, followed or 0)
    pixels = size[0] * size[1]
    surfels = config.surfels * objects + config.background_surfels
    held = frames * pixels * (_FRAME_PIXEL_BYTES + 5 * (objects - 1) + depth * _DEPTH_PIXEL_BYTES)
    held += (followed - frames) * pixels * (_FOLLOWED_PIXEL_BYTES + objects - 1)
    memory = _BASE_BYTES + held + surfels * _SURFEL_BYTES + pixels * _PIXEL_BYTES
    stored = _STORED_PIXEL_BYTES + objects - 1 + depth * _STORED_DEPTH_BYTES
    disk = followed * pixels * stored + surfels * _STORED_SURFEL_BYTES + _RESULT_BYTES
    return Needs(memory, disk)


def require(needs: Needs, folder: Path) -> None:
    """Refuse a job that does not fit.

    Args:
        needs: of the job.
        folder: an existing folder on the disk that takes the files.

    Raises:
        InputError: too little memory or space.
    """
    free = available_memory()
    if free is not None and needs.memory > free:
        raise InputError(
            "memory",
            expected=f"about {_gib(needs.memory)} for these settings",
            got=f"{_gib(free)} available",
            fix="lower --max-frames or --max-side, use --preset draft, or close other programs",
        )
    space = shutil.disk_usage(folder).free
    if needs.disk > space:
        raise InputError(
            f"disk of {folder}",
            expected=f"about {_gib(needs.disk)} for work files",
            got=f"{_gib(space)} free",
            fix="free some space, choose another place with -o, or lower --max-frames or --max-side",
        )


def available_memory() -> int | None:
    """Bytes that can still be used here: of the machine, of the control group, and of the process; None if unknown."""
    limits = [limit for limit in (_machine(), _control_group(), _process()) if limit is not None]
    return min(limits, default=None)


def peak_memory() -> int:
    """Most bytes that this process has held at once."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _control_group() -> int | None:
    """What the tightest control group above this process leaves (containers), versions 2 and 1."""
    left: list[int] = []
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for group in groups:
        _, controllers, name = group.split(":", 2)
        if controllers == "":
            root, files = Path("/sys/fs/cgroup"), ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            root, files = Path("/sys/fs/cgroup/memory"), ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        place = root / name.lstrip("/")
        for folder in (place, *place.parents):
            if not folder.is_relative_to(root):
                break
            limit, used = (_number(folder / file) for file in files)
            if limit is not None and limit < 1 << 60:
                # Files that are kept in memory count as used, but are dropped when memory is needed.
                used = max(0, (used or 0) - _cached(folder))
                left.append(max(0, limit - used))
    return min(left, default=None)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None  # "max" is no limit.


def _cached(folder: Path) -> int:
    try:
        for line in (folder / "memory.stat").read_text().splitlines():
            if line.startswith(("inactive_file ", "total_inactive_file ")):
                return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return 0


def _process() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return None
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        used = 0
    return max(0, soft - used)


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 100 * _MIB else f"{size / _MIB:.0f} MiB"
