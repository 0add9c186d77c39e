"""The hidden work folder of a job, beside its result: what may be resumed, by whom, and how the result takes its place.

`.NAME.r4d.work/` holds `job.json` (what the job is, and how far), the stages' cache, the fit's checkpoint, and in the
end the finished scene, which is renamed to NAME.r4d in one step.  A kill at any moment leaves the old NAME.r4d or the
new one or none, and a work folder that can be resumed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recon4d.core import InputError
from recon4d.data.files import read_json, write_json

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

SUFFIX = ".r4d"
_VERSION = 1
_DOCUMENT = "job.json"
_SAVE_SECONDS = 5.0


@contextmanager
def checked_output(output: Path, *, overwrite: bool) -> Iterator[Path]:
    """The absolute path of the result, if it can be written.

    Folders that are made for it and are empty at the end are removed again: a job that is refused leaves nothing.

    Raises:
        InputError: a name that does not end in .r4d, no folder to write to, or something there that is not to be
            replaced.
    """
    place = Path(os.path.abspath(output))
    made: list[Path] = []
    try:
        _check_output(output, place, made, overwrite=overwrite)
        yield place
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def _check_output(output: Path, place: Path, made: list[Path], *, overwrite: bool) -> None:
    if place.suffix != SUFFIX or place.name == SUFFIX:
        raise InputError(
            f"-o {output}",
            expected=f"a name that ends in {SUFFIX}",
            got=repr(place.name),
            fix=f"use -o {place.name or 'scene'}{SUFFIX}",
        )
    parent = place.parent
    try:
        made += [folder for folder in (parent, *parent.parents) if not folder.exists()]
        parent.mkdir(parents=True, exist_ok=True)
        probe = parent / f".{place.name}.{os.getpid()}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"-o {output}",
            expected="a place that can be written",
            got=error.strerror or type(error).__name__,
            fix="choose another place",
        ) from None
    if place.exists() or place.is_symlink():
        if not overwrite:
            raise InputError(
                f"-o {output}",
                expected="a new name",
                got="one that exists",
                fix="choose another name, or replace it with --overwrite",
            )
        # A slip of the hand must not remove somebody's folder.
        if not (place / "scene.json").is_file() or place.is_symlink():
            raise InputError(
                f"-o {output}",
                expected="a scene to replace",
                got="something else of that name",
                fix="choose another name",
            )


@dataclass(eq=False)
class Work:
    """An open work folder, locked against other runs.

    Attributes:
        output: where the result goes.
        folder: the work folder.
        job: identity of the job: what decides its result.
        resumed: an earlier run of the same job is continued.
        fresh: nothing in the folder is older than this run.
        seconds: spent in each stage so far, by all runs of the job.
    """

    output: Path
    folder: Path
    job: dict[str, Any]
    resumed: bool
    fresh: bool
    seconds: dict[str, float]
    state: str = "working"
    stage: str = ""
    _saved: float = field(default=0.0, repr=False)

    @property
    def checkpoint(self) -> Path:
        """The fit's checkpoint."""
        return self.folder / "fit.checkpoint"

    @property
    def result(self) -> Path:
        """Where the scene is written before it takes its place."""
        return self.folder / f"result{SUFFIX}"

    def add_seconds(self, stage: str, seconds: float) -> None:
        """Count time that a stage has taken; written to the disk now and then."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        if time.monotonic() - self._saved >= _SAVE_SECONDS:
            self.save()

    def enter(self, stage: str) -> None:
        """Note that a stage begins."""
        self.stage = stage
        self.save()

    def save(self) -> None:
        """Write job.json."""
        self._saved = time.monotonic()
        seconds = {name: round(value, 3) for name, value in self.seconds.items()}
        document = {"version": _VERSION, "state": self.state, "stage": self.stage, "seconds": seconds, "job": self.job}
        write_json(self.folder / _DOCUMENT, document)

    def publish(self, *, keep: bool) -> None:
        """Let the result take its place, and remove the work folder unless it is to be kept."""
        replaced = self.folder / f"replaced{SUFFIX}"
        if self.result.exists():
            if self.output.exists():
                shutil.rmtree(replaced, ignore_errors=True)
                os.rename(self.output, replaced)
            os.rename(self.result, self.output)
            _sync(self.output.parent)
        shutil.rmtree(replaced, ignore_errors=True)
        self.finish(keep=keep)

    def drop(self) -> None:
        """Nothing of this run is worth going on with: leave what was there before it, so that the next is not refused.

        A run that was resumed leaves what it took up.
        """
        if self.resumed:
            return
        _remove_results(self.folder)
        self.finish(keep=not self.fresh)

    def finish(self, *, keep: bool) -> None:
        """Mark the job as done, or remove its folder; job.json goes last, so that a kill leaves a job that is known."""
        if keep:
            self.state = "finished"
            self.save()
            return
        for path in self.folder.iterdir():
            if path.name != _DOCUMENT:
                _remove(path)
        _remove(self.folder / _DOCUMENT)
        self.folder.rmdir()


def work_folder(output: Path) -> Path:
    """The work folder of a result."""
    return output.with_name(f".{output.name}.work")


def identity_digest(job: dict[str, Any]) -> str:
    """SHA-256 of a job's identity, as a scene's provenance names it."""
    return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()


def published_job(output: Path) -> dict[str, Any] | None:
    """The identity of the job whose result is at `output` while its work folder is still there; else None."""
    left = _read(work_folder(output))
    try:
        provenance = read_json(output / "scene.json")["provenance"]
    except (InputError, KeyError):
        return None
    if left is None or not isinstance(provenance, dict):
        return None
    job: dict[str, Any] = left["job"]
    return job if provenance.get("job_sha256") == identity_digest(job) else None


def take_published(output: Path, job: dict[str, Any], *, overwrite: bool, keep: bool) -> bool:
    """Whether what is to be resumed had finished already; then its work folder is removed, unless it is to be kept.

    It may have been stopped after its result took its place, or its folder been kept, which is left as it is.

    Raises:
        InputError: another job has finished there, and its result is not to be replaced.
    """
    earlier = published_job(output)
    if earlier is None:
        return False
    if overwrite and _differences(earlier, job):
        return False
    _require_same(earlier, job, "earlier")
    left = _read(work_folder(output))
    if left is not None and left["state"] == "working":
        with open_work(output, job, resume=True, overwrite=False) as opened:
            opened.finish(keep=keep)
    return True


@contextmanager
def open_work(output: Path, job: dict[str, Any], *, resume: bool, overwrite: bool) -> Iterator[Work]:
    """Make or take up the work folder of a job.

    Finished stages of a folder that was kept are used again where they fit; only an unfinished job asks for a decision.

    Raises:
        InputError: another run works there; the job was left unfinished and neither resuming nor overwriting is asked
            for; or what is to be resumed is another job.
    """
    folder = work_folder(output)
    try:
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(
            str(folder), expected="a place for work files", got=error.strerror or "an error", fix="choose another place"
        ) from None
    try:
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"-o {output}",
                    expected="no other run for this result",
                    got="one that is at work",
                    fix="wait for it",
                ) from None
        yield _take_up(output, folder, job, resume=resume, overwrite=overwrite)
    finally:
        os.close(descriptor)


def _take_up(output: Path, folder: Path, job: dict[str, Any], *, resume: bool, overwrite: bool) -> Work:
    for path in folder.iterdir():
        if path.name.startswith("."):
            _remove(path)  # Half-written files of a run that was killed: nobody else works here.
    fresh = not any(folder.iterdir())
    left = _read(folder)
    unfinished = left is not None and left["state"] == "working"
    if unfinished:
        assert left is not None
        where = f"an unfinished run, left in the stage {left['stage'] or 'ingest'!r}"
        if resume:
            _require_same(left["job"], job, "unfinished")
            seconds = {str(name): float(value) for name, value in left["seconds"].items()}
            return _saved(Work(output, folder, job, True, False, seconds, stage=str(left["stage"])))
        if not overwrite:
            raise InputError(
                f"-o {output}",
                expected="no earlier run for this result",
                got=where,
                fix="go on with --resume, or start anew with --overwrite",
            )
        for path in folder.iterdir():
            _remove(path)
        fresh = True
    else:
        _remove_results(folder)
    return _saved(Work(output, folder, job, False, fresh, {}))


def _remove_results(folder: Path) -> None:
    """What a job's fit left; the stages' results are known by their content."""
    for path in folder.iterdir():
        if path.name.startswith(("fit.", "result", "replaced")):
            _remove(path)


def _require_same(old: dict[str, Any], new: dict[str, Any], state: str) -> None:
    different = _differences(old, new)
    if different:
        raise InputError(
            "--resume",
            expected=f"the input and the settings that the {state} run was started with",
            got=f"another {different}",
            fix="repeat the options of then, or start anew with --overwrite instead of --resume",
        )


def _saved(work: Work) -> Work:
    work.save()
    return work


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = read_json(folder / _DOCUMENT)
        fits = isinstance(document["job"], dict) and isinstance(document["seconds"], dict)
        return document if document["version"] == _VERSION and fits and {"state", "stage"} <= set(document) else None
    except (InputError, KeyError):
        return None


def _differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """What differs between two jobs, in words; empty where they are the same."""
    found = ["input"] if old.get("input") != new["input"] else []
    settings = old.get("settings")
    before: dict[str, Any] = settings if isinstance(settings, dict) else {}
    for name, value in new["settings"].items():
        if before.get(name) != value:
            found.append(f"--{name.replace('_', '-')} ({before.get(name)}, now {value})")
    if not found and old != new:
        found.append("version of recon4d")
    return ", ".join(found)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _sync(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
