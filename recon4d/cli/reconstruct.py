"""`recon4d reconstruct`: a video in, a scene with its report out, with progress for people or for machines."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rich.console import Console

from recon4d.cli.console import print_line
from recon4d.core import InputError, Recon4dError
from recon4d.pipeline import (
    Event,
    Fitting,
    Listener,
    Noted,
    Reconstructed,
    ReconstructSettings,
    StageDone,
    StageProgress,
    StageStarted,
    Warned,
    reconstruct,
)
from recon4d.train import FitConfig

_LABELS = {
    "psnr_masked": "PSNR of the subject",
    "psnr_on_white": "PSNR of the subject on white",
    "ssim_masked": "SSIM of the subject",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "flip": "FLIP",
}


def make_scene(
    source: Path,
    output: Path,
    settings: ReconstructSettings,
    *,
    resume: bool,
    overwrite: bool,
    keep_work: bool,
    quiet: bool,
    as_json: bool,
    config: FitConfig | None = None,
    view: bool = False,
) -> Reconstructed:
    """Reconstruct, show how it goes, and say where the result is.

    Args:
        source, output, settings, resume, overwrite, keep_work, config: see `recon4d.pipeline.reconstruct`.
        quiet: print nothing but errors.
        as_json: one JSON object a line on standard output, instead of words.
        view: show the scene in a browser while it is made.

    Raises:
        InputError: what the user can mend; with `as_json` it is told as an event too.
        KeyboardInterrupt: with a line that says how to go on.
    """
    if quiet and as_json:
        raise InputError("--quiet", expected="one of --quiet and --json", got="both", fix="leave one of them out")
    try:
        with _shown(quiet=quiet, as_json=as_json) as told, _watched(told, view=view, as_json=as_json) as listen:
            result = reconstruct(
                source,
                output,
                settings,
                config=config,
                resume=resume,
                overwrite=overwrite,
                keep_work=keep_work,
                listen=listen,
            )
    except KeyboardInterrupt:
        line = f"interrupted; go on where it stopped: {_again()}"
        if as_json:
            _line({"event": "interrupted", "resume": _again()})
        raise KeyboardInterrupt(line) from None
    except Recon4dError as error:
        if as_json:
            parts = {"what": error.what, "expected": error.expected, "got": error.got, "fix": error.fix}
            _line({"event": "error", **parts})
        raise
    if as_json:
        _line({
            "event": "done",
            "scene": str(result.scene),
            "report": str(result.report),
            "metrics": str(result.metrics),
            "measured_on": result.scores["measured_on"],
            "scores": result.scores["scores"],
            "warnings": list(result.warnings),
            "seconds": round(result.seconds, 2),
            "peak_memory_mib": result.scores["peak_memory_mib"],
        })  # fmt: skip
    elif not quiet:
        _summary(result)
    return result


def _summary(result: Reconstructed) -> None:
    scores = result.scores["scores"]
    told = ", ".join(f"{label} {scores[key]:.4g}" for key, label in _LABELS.items() if key in scores)
    if told:
        print_line(f"On {result.scores['measured_on']}: {told}.")
    surfels = sum(result.scores["surfels"].values())
    print_line(f"{surfels:,} surfels in {result.seconds:.0f} s, at most {result.scores['peak_memory_mib']} MiB.")
    print_line(f"  {result.scene}   the scene: recon4d info {result.scene}")
    print_line(f"  {result.report}   the report: open it in any web browser")


def _again() -> str:
    """The command that goes on with this run."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    if words[:1] != ["reconstruct"]:
        return "the same command with --resume"
    return " ".join(["recon4d", *map(shlex.quote, words), "--resume"])


def _line(event: dict[str, object]) -> None:
    print(json.dumps(event, allow_nan=False), flush=True)


@contextmanager
def _shown(*, quiet: bool, as_json: bool) -> Iterator[Listener]:
    """The listener for one way of showing progress."""
    if quiet:
        yield lambda event: None
    elif as_json:
        yield lambda event: _line(as_record(event))
    else:
        console = Console(stderr=True)
        if console.is_terminal:
            with _Bars(console) as bars:
                yield bars
        else:
            yield _Lines()


@contextmanager
def _watched(told: Listener, *, view: bool, as_json: bool) -> Iterator[Listener]:
    """A listener that also shows the live model in a browser, where that is asked for."""
    if not view:
        yield told
        return
    from recon4d.viewer import LiveViewer

    live = LiveViewer()
    if as_json:
        _line({"event": "view", "link": live.link})
    else:
        print(f"Watch it in a browser; this link works once:\n  {live.link}", file=sys.stderr, flush=True)

    def listen(event: Event) -> None:
        told(event)
        match event:
            case StageStarted(stage):
                live.tell(f"Now: {stage}.")
            case Fitting(snapshot, left):
                rest = "" if left is None else f", {left:.0f} s left"
                words = f"Step {snapshot.step} of {snapshot.iterations}, {_fit_text(event)}{rest}."
                live.show(snapshot.model.frozen_layers, words, last=snapshot.step == snapshot.iterations)

    try:
        yield listen
    finally:
        live.stop()


def as_record(event: Event) -> dict[str, object]:
    """An event as JSON knows it."""
    match event:
        case StageStarted(stage):
            return {"event": "stage", "stage": stage, "state": "started"}
        case StageDone(stage, chosen, why, seconds):
            done = {"event": "stage", "stage": stage, "state": "done", "chosen": chosen, "why": why}
            return done | {"seconds": round(seconds, 3)}
        case StageProgress(stage, part, done_parts, total):
            return {"event": "progress", "stage": stage, "part": part, "done": done_parts, "total": total}
        case Fitting(snapshot, left):
            return {
                "event": "progress",
                "stage": "fit",
                "part": "steps",
                "done": snapshot.step,
                "total": snapshot.iterations,
                "loss": snapshot.loss,
                "psnr": round(snapshot.psnr, 3),
                "surfels": snapshot.surfels,
                "seconds": round(snapshot.seconds, 2),
                "seconds_left": None if left is None else round(left, 1),
            }
        case Warned(text):
            return {"event": "warning", "text": text}
        case Noted(text):
            return {"event": "note", "text": text}


def _because(why: str) -> str:
    return f" ({why})" if why else ""


def _fit_text(event: Fitting) -> str:
    one = event.snapshot
    return f"loss {one.loss:.4f}  {one.psnr:.1f} dB  {one.surfels:,} surfels"


class _Lines:
    """For files and pipes: a line on standard error for each stage, and for the fit one every tenth of it."""

    def __init__(self) -> None:
        self.tenth = -1

    def __call__(self, event: Event) -> None:
        match event:
            case StageDone(stage, chosen, why, seconds):
                self.say(f"{stage}: {chosen}{_because(why)}, {seconds:.1f} s")
            case Fitting(snapshot, left):
                tenth = 10 * snapshot.step // snapshot.iterations
                if tenth != self.tenth:
                    self.tenth = tenth
                    rest = "" if left is None else f"  {left:.0f} s left"
                    self.say(f"fit: {snapshot.step} of {snapshot.iterations}  {_fit_text(event)}{rest}")
            case Warned(text):
                self.say(f"warning: {text}")
            case Noted(text):
                self.say(text)

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _Bars:
    """For terminals: finished stages stay as lines, the present one is a bar with what it does and the time left."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("[bold]{task.fields[stage]:<8}"),
            BarColumn(bar_width=28),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self.console = console
        self.progress = Progress(*columns, console=console, transient=True)
        self.task: int | None = None

    def __enter__(self) -> _Bars:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        match event:
            case StageStarted(stage):
                self.clear()
                self.task = self.progress.add_task("", total=None, stage=stage, left="")
                self.begun = time.monotonic()
            case StageProgress(stage, part, done, total):
                text = "" if part == stage else part
                self.update(done, total, f"{text} {done} of {total}".strip(), self.rest(done, total))
            case Fitting(snapshot, left):
                self.update(snapshot.step, snapshot.iterations, _fit_text(event), left)
            case StageDone(stage, chosen, why, seconds):
                self.clear()
                self.say(f"[green]\u2713[/] [bold]{stage:<8}[/] ", f"{chosen}{_because(why)}, {seconds:.1f} s")
            case Warned(text):
                self.say("[yellow]![/] ", text)
            case Noted(text):
                self.say("", text)

    def clear(self) -> None:
        if self.task is not None:
            self.progress.remove_task(self.task)  # type: ignore[arg-type]
            self.task = None

    def rest(self, done: int, total: int) -> float | None:
        took = time.monotonic() - self.begun
        return took * (total - done) / done if done and took > 1 else None

    def update(self, done: int, total: int, text: str, left: float | None) -> None:
        if self.task is None:
            return
        rest = "" if left is None else f"{int(left) // 60}:{int(left) % 60:02d} left"
        self.progress.update(self.task, completed=done, total=total, description=text, left=rest)  # type: ignore[arg-type]

    def say(self, mark: str, text: str) -> None:
        from rich.markup import escape

        self.console.print(mark + escape(text), highlight=False)


def parse_keep_out(value: str) -> int | Literal["auto", "none"]:
    """`--keep-out` as settings know it.

    Raises:
        InputError: neither a number nor one of the words.
    """
    words: dict[str, Literal["auto", "none"]] = {"auto": "auto", "none": "none"}
    if value in words:
        return words[value]
    try:
        return int(value)
    except ValueError:
        raise InputError(
            "--keep-out", expected="a whole number >= 2, auto or none", got=value, fix="10 is a good choice"
        ) from None
