"""What the steps of `gpu.py` have to reach, and what a run of them comes to.  Needs no GPU."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

PASSED, MISSED, FAILED, NOT_RUN, SKIPPED = "passed", "missed", "failed", "not run", "skipped"
WELL = (PASSED, SKIPPED)

FASTER = 2.0
EQUAL, BAND = 1e-3, 0.01
"""Pixels are equal that differ by no more than `EQUAL`; a share of `BAND` may differ by more.  gsplat cuts rims off and
leaves the last surfel of a full pixel out, so some pixels mean something else."""
SAME_MEANING = ("color", "alpha", "normal")
WORSE_DB = 0.5
"""A fit on the GPU may be so much worse than the same fit on the CPU."""

Step = Callable[[], dict[str, Any]]


class MissedError(Exception):
    """A step ran, and did not reach a bar.

    Args:
        reasons: which, and by how much.
        numbers: what was measured all the same.
    """

    def __init__(self, reasons: list[str], numbers: Mapping[str, Any] | None = None) -> None:
        super().__init__("; ".join(reasons))
        self.numbers = dict(numbers or {})


class NotRunError(Exception):
    """A step, or its comparison, cannot run on this machine.

    Args:
        reason: what is not there.
        numbers: what was measured all the same.
    """

    def __init__(self, reason: str, numbers: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.numbers = dict(numbers or {})


def settle(missed: list[str], numbers: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a step that missed nothing.

    Raises:
        MissedError: when it missed something.
    """
    if missed:
        raise MissedError(missed, numbers)
    return numbers


def missed_by_case(row: Mapping[str, Any]) -> list[str]:
    """Bars of the benchmark that one case beside gsplat misses."""
    name = f"{row['surfels']} at {row['width']}x{row['height']}"
    ours, theirs = row["cuda"], row["gsplat"]
    missed = []
    speed_up = theirs["total_ms"] / ours["total_ms"]
    if not speed_up >= FASTER:
        missed.append(f"{name}: {speed_up:.2f} times faster, not {FASTER:g}")
    if not ours["memory_mb"] < theirs["memory_mb"]:
        missed.append(f"{name}: {ours['memory_mb']:.0f} MB, not less than {theirs['memory_mb']:.0f}")
    return missed + missed_by_images(row["difference"], name)


def missed_by_images(difference: Mapping[str, Mapping[str, float]], name: str, *, band: float = BAND) -> list[str]:
    """Images that are not equal where both mean the same thing."""
    return [
        f"{name}: {image} differs by more than {EQUAL:g} in {100 * difference[image]['over']:.2f} % of the pixels"
        for image in SAME_MEANING
        if not difference[image]["over"] <= band
    ]


def missed_by_fit(cuda: float, cpu: float) -> list[str]:
    """Whether a fit on the GPU is worse than the same on the CPU, in dB."""
    return [] if cuda >= cpu - WORSE_DB else [f"{cuda:.2f} dB, more than {WORSE_DB} below the CPU's {cpu:.2f}"]


def missed_by_tests(printed: str, code: int) -> list[str]:
    """What is wrong with a run of pytest: failures, or tests of the `cuda` backend that did not run."""
    lines = printed.strip().splitlines()
    missed = [] if code == 0 else [f"pytest ended with {code}: {lines[-1] if lines else 'it printed nothing'}"]
    missed += [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    skipped = re.compile(r"SKIPPED \[\d+\] .*(torch sees no CUDA device|_ext_cuda (was not built|cannot be loaded))")
    return missed + [f"did not run: {line}" for line in lines if skipped.match(line)]


def verdict(name: str, step: Step) -> dict[str, Any]:
    """Run a step; whatever happens becomes a record with a status."""
    try:
        return {"status": PASSED, **step()}
    except MissedError as error:
        return {**error.numbers, "status": MISSED, "why": str(error)}
    except NotRunError as error:
        return {**error.numbers, "status": NOT_RUN, "why": f"{error} (--skip {name} if that is meant)"}
    except Exception as error:  # a later step may still tell something
        detail = getattr(error, "stderr", None) or getattr(error, "stdout", None) or ""
        why = f"{type(error).__name__}: {error}\n{str(detail)[-3000:]}".strip()
        return {"status": FAILED, "why": why, "traceback": traceback.format_exc(limit=4)}


def run_steps(
    steps: Mapping[str, Step],
    skip: Iterable[str],
    report: dict[str, Any],
    path: Path,
    tell: Callable[[str], None],
) -> int:
    """Run all steps but those to skip, keep the report in a file after each, and return the exit code.

    Args:
        steps: by name, in order.
        skip: names.
        report: what is known already; the steps are added.
        path: of the report, JSON.
        tell: prints a line.

    Returns:
        0 when every step has passed or was skipped by name, else 1.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, step in steps.items():
        tell(f"gpu: {name}")
        report[name] = {"status": SKIPPED, "why": "asked to"} if name in skip else verdict(name, step)
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    tell("")
    for name in steps:
        record = report[name]
        tell(f"{name:12s} {record['status']:8s} {record.get('why', '')}".rstrip())
    return int(any(report[name]["status"] not in WELL for name in steps))
