"""How good reconstructions are, how long they take and how much memory: the table of docs/benchmarks.md.

Run from the checkout: `python -m tests.bench.reconstruct --rows orbit,teleport --subjects quadruped,fish --out DIR`.
Data sets are synthesized once; every case leaves a JSON file, a scene, a page of scores and a sheet of pictures in DIR,
and is skipped where its JSON file is there already.  Rows with real videos need RECON4D_SAMPLES.

Each step is a program of its own, so that times include start-up and memory is that of the step alone.  This program
imports nothing large: on Linux a child's peak memory begins at that of the process that started it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
MISSED, FIRST, NEXT = "missed", "first", "next"

CREATURES = ("quadruped", "fish", "biped", "jelly")
SUBJECTS = ("quadruped", "fish", "biped", "Fox.glb", "CesiumMan.glb", "Knight.glb")
# What makes a subject of a file; others are taken as they are.
ASSET_OPTIONS = {
    "Fox.glb": ("--action", "Walk"),
    "Knight.glb": ("--action", "Running_A", "--hide", "*Shield*", "--hide", "1H_*", "--hide", "2H_*"),
}


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        title: what is measured.
        bars: (score, first bar, next bar); more is better where the next bar is above the first.
        synthesize: options of `recon4d synthesize`, None for rows of real videos.
        reconstruct: options of `recon4d reconstruct`.
        video: take the plain video of the data set, not the data set.
        evaluated: score against the data set's truth; otherwise the scores are those of the frames kept out.
        evaluate: options of `recon4d evaluate`.
    """

    title: str
    bars: tuple[tuple[str, float, float], ...]
    synthesize: tuple[str, ...] | None = None
    reconstruct: tuple[str, ...] = ()
    video: bool = False
    evaluated: bool = True
    evaluate: tuple[str, ...] = ()


ROWS = {
    "orbit": Row(
        "cameras given, orbit",
        (
            ("psnr", 30, 34),
            ("seconds", 600, 300),
            ("chamfer_percent", 1.0, 0.5),
            ("normal_error_deg", 15, 8),
            ("track_error_percent", 2, 1),
        ),
        ("--cameras", "orbit"),
        ("--cameras", "file", "--keep-out", "10"),
    ),
    "teleport": Row(
        "cameras given, teleporting", (("psnr", 28, 33),), ("--cameras", "teleport"), ("--cameras", "file")
    ),
    "turning": Row(
        "no cameras given, subject turns",
        (("psnr", 25, 29), ("camera_rotation_error_deg", 5, 2)),
        ("--cameras", "orbit"),
        video=True,
        evaluate=("--align", "moment"),
    ),
    "real": Row("real video, between every 4th frame", (("psnr_masked", 23, 27.3), ("psnr", 22, 26)), evaluated=False),
    "memory": Row(
        "peak memory, 100 frames at 480p",
        (("megabytes", 4096, 2048),),
        ("--cameras", "orbit", "--width", "854", "--height", "480"),
        ("--cameras", "file", "--max-side", "854"),
    ),
    "memory300": Row(
        "peak memory, 300 frames at 480p",
        (),
        ("--cameras", "orbit", "--width", "854", "--height", "480", "--frames", "300"),
        ("--cameras", "file", "--max-side", "854"),
    ),
    "gpu": Row(
        "on a GPU, 800x800",
        (("psnr", 36, 41), ("seconds", 300, 180)),
        ("--cameras", "orbit", "--width", "800", "--height", "800"),
        ("--cameras", "file", "--device", "cuda", "--max-side", "800"),
    ),
}
# The subject of rows that measure a machine rather than a reconstruction.
ONE_SUBJECT = ("memory300",)

# Name: source and options, paths within the samples.
REAL = {
    "apple": ("video/apple.mp4", ()),
    "train": ("frames/train/images", ()),
    "cat-pikachu-0": ("video/cat-pikachu-0.mp4", ()),
    "car-turnaround-2": ("video/car-turnaround-2.mp4", ("--masks", "video/car-turnaround-2-masks")),
    "finch": ("video/finch.mp4", ()),
    "generated-toy-ship": ("video/generated-toy-ship.mp4", ()),
    "generated-dancing-robot": ("video/generated-dancing-robot.mp4", ()),
    "camel": ("frames/camel/images", ("--masks", "frames/camel/masks")),
    "car-roundabout": ("frames/car-roundabout/images", ("--masks", "frames/car-roundabout/masks")),
}

COLUMNS = {
    "psnr": "PSNR",
    "psnr_between": "PSNR between",
    "ssim": "SSIM",
    "psnr_masked": "PSNR subject",
    "psnr_on_white": "PSNR on white",
    "ssim_masked": "SSIM subject",
    "chamfer_percent": "Chamfer %",
    "normal_error_deg": "normals deg",
    "track_error_percent": "track %",
    "camera_rotation_error_deg": "rotation deg",
    "seconds": "seconds",
    "cpu_seconds": "CPU s",
    "megabytes": "MB",
}


@dataclass(frozen=True)
class Case:
    """One reconstruction: a row and a subject, ready to be run.

    Attributes:
        row, subject: names.
        key: of its files.
        source: what is reconstructed; a data set that has to be synthesized first where `synthesize` is given.
        dataset: folder or file of the truth.
        synthesize: arguments of `recon4d synthesize`, None where the source is there.
        reconstruct: options.
    """

    row: str
    subject: str
    key: str
    source: Path
    dataset: Path
    synthesize: tuple[str, ...] | None
    reconstruct: tuple[str, ...]


@dataclass(frozen=True)
class Ran:
    """How a step ran.

    Attributes:
        code: exit code; None where it was stopped after the time limit.
        seconds, cpu_seconds: by the clock, and of all its threads.
        megabytes: peak memory.
        load: mean number of programs that wanted a core during the last minutes; times are true where it is no more
            than the number of cores.
    """

    code: int | None
    seconds: float
    cpu_seconds: float
    megabytes: float
    load: float


@dataclass
class Bench:
    """Where everything lies, and how it is run.

    Attributes:
        out: folder of the results.
        data: folder of the data sets that are made.
        samples: folder of real videos and assets, None where there is none.
        preset, seed: of the fit.
        direct: fit data sets by `recon4d.train.fit` instead of the command.
        limit: seconds after which a step is stopped.
        again: run everything anew.
        said: lines on what was left out.
    """

    out: Path
    data: Path
    samples: Path | None
    preset: str
    seed: int
    direct: bool
    limit: float
    again: bool = False
    said: list[str] = field(default_factory=list)

    def cases(self, rows: Sequence[str], subjects: Sequence[str], clips: Sequence[str]) -> Iterator[Case]:
        """Everything that can be run; `said` has a line for the rest."""
        for row in rows:
            if row == "real":
                yield from self._clips(row, clips)
                continue
            for subject in subjects[:1] if row in ONE_SUBJECT else subjects:
                yield from self._synthetic(row, subject)

    def _clips(self, row: str, clips: Sequence[str]) -> Iterator[Case]:
        if self.samples is None:
            self.said.append(f"{row}: left out, RECON4D_SAMPLES is not set")
            return
        if self.direct:
            self.said.append(f"{row}: left out, --direct needs cameras")
            return
        for name, (source, options) in REAL.items():
            if clips and name not in clips:
                continue
            path = self.samples / source
            if not path.exists():
                self.said.append(f"{row} {name}: left out, no {path}")
                continue
            given = [str(self.samples / o) if (self.samples / o).exists() and "/" in o else o for o in options]
            yield Case(row, name, self._key(row, name), path, path, None, (*given, "--train-every", "4"))

    def _synthetic(self, row: str, subject: str) -> Iterator[Case]:
        plan = ROWS[row]
        assert plan.synthesize is not None
        if self.direct and plan.video:
            self.said.append(f"{row} {subject}: left out, --direct needs cameras")
            return
        where = subject
        if subject not in CREATURES:
            if not Path(subject).is_file() and self.samples is None:
                self.said.append(f"{row} {subject}: left out, RECON4D_SAMPLES is not set")
                return
            where = subject if Path(subject).is_file() else str((self.samples or Path()) / "assets" / subject)
            if not Path(where).is_file():
                self.said.append(f"{row} {subject}: left out, no {where}")
                return
        name = Path(subject).stem
        options = (*plan.synthesize, *ASSET_OPTIONS.get(Path(subject).name, ()))
        dataset = self.data / "-".join([name, *(o.strip("-") for o in plan.synthesize)])
        source = dataset / "train.mp4" if plan.video else dataset
        made = (where, "-o", str(dataset), "--quiet", *options)
        yield Case(row, name, self._key(row, name), source, dataset, made, plan.reconstruct)

    def _key(self, row: str, name: str) -> str:
        return "-".join([row, name, self.preset, f"seed{self.seed}", *(["direct"] if self.direct else [])])

    def result_of(self, case: Case) -> dict[str, Any] | None:
        """What an earlier run found."""
        path = self.out / f"{case.key}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def run(self, case: Case) -> dict[str, Any]:
        """Make the data, reconstruct, score, draw; the result is written when all is done."""
        if case.synthesize is not None and not case.dataset.exists():
            self._step(case, "synthesize", ["-m", "recon4d", "synthesize", *case.synthesize])
        scene = self.out / f"{case.key}.r4d"
        if self.direct:
            what = ["-m", "tests.bench.direct_fit", str(case.dataset), str(scene), self.preset, str(self.seed)]
        else:
            what = ["-m", "recon4d", "reconstruct", str(case.source), "-o", str(scene), "--preset", self.preset]
            what += ["--seed", str(self.seed), "--quiet", "--overwrite", *case.reconstruct]
        ran = self._reconstructed(case, what, scene)
        result: dict[str, Any] = {
            "row": case.row,
            "subject": case.subject,
            "preset": self.preset,
            "seed": self.seed,
            "command": f"python {' '.join(what)}",
            "threads": os.environ.get("OMP_NUM_THREADS", "all"),
            "cores": os.cpu_count(),
            "seconds": round(ran.seconds, 1),
            "cpu_seconds": round(ran.cpu_seconds, 1),
            "megabytes": round(ran.megabytes),
            "load": round(ran.load, 1),
        }
        told = scene / "metrics.json"
        metrics = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
        result["warnings"] = metrics.get("warnings", [])
        if ROWS[case.row].evaluated:
            scores, page = self.out / f"{case.key}.scores.json", self.out / f"{case.key}.scores.html"
            # The earth mover's distance is not in the table and would take minutes.
            files = ["--json", str(scores), "--html", str(page), "--emd-samples", "512", "--quiet"]
            against = [str(scene), "--against", str(case.dataset)]
            self._step(case, "evaluate", ["-m", "recon4d", "evaluate", *against, *files, *ROWS[case.row].evaluate])
            found = json.loads(scores.read_text(encoding="utf-8"))
            result["notes"] = found["notes"]
        else:
            found = metrics.get("kept_out", {})
            result["notes"] = [metrics.get("compared_on", ""), metrics.get("rule", "")]
        if ROWS[case.row].evaluated:
            # Frames of the clip itself that were kept out, beside the views from elsewhere.
            found["psnr_between"] = metrics.get("kept_out", {}).get("psnr")
        result["scores"] = {name: found[name] for name in COLUMNS if found.get(name) is not None}
        sheet = self.out / f"{case.key}.png"
        self._step(case, "sheet", ["-m", "tests.bench.sheet", str(scene), str(case.source), str(sheet)])
        write(self.out / f"{case.key}.json", json.dumps(result, indent=2) + "\n")
        return result

    def _reconstructed(self, case: Case, what: list[str], scene: Path) -> Ran:
        """How the reconstruction ran, now or in a run that was stopped later on."""
        told = self.out / f"{case.key}.ran.json"
        if told.is_file() and scene.is_dir() and not self.again:
            known = json.loads(told.read_text(encoding="utf-8"))
            if known.pop("command") == what:
                return Ran(**known)
        told.unlink(missing_ok=True)
        ran = self._step(case, "reconstruct", what)
        write(told, json.dumps({"command": what, **asdict(ran)}) + "\n")
        return ran

    def _step(self, case: Case, name: str, arguments: list[str]) -> Ran:
        log = self.out / f"{case.key}.{name}.log"
        ran = run_step([sys.executable, *arguments], log, self.limit)
        if ran.code != 0:
            why = f"stopped after {self.limit:.0f} s" if ran.code is None else f"exit code {ran.code}"
            raise StepError(f"{name}: {why}: {last_line(log)}")
        return ran


class StepError(Exception):
    """A step of a case did not end well."""


def run_step(command: list[str], log: Path, limit: float) -> Ran:
    """Run a program and measure it; what it prints goes to a file."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
    begun = time.monotonic()
    stopped = False
    with log.open("wb") as stream:
        child = subprocess.Popen(command, stdout=stream, stderr=stream, cwd=REPOSITORY, env=environment)
        try:
            while True:
                # wait4 tells of this child alone, unlike getrusage(RUSAGE_CHILDREN).
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    break
                if time.monotonic() - begun > limit and not stopped:
                    child.kill()
                    stopped = True
                time.sleep(0.05)
        except BaseException:
            child.kill()
            os.waitpid(child.pid, 0)
            raise
    child.returncode = os.waitstatus_to_exitcode(status)
    per_unit = 1 if sys.platform == "darwin" else 1024
    return Ran(
        None if stopped else child.returncode,
        time.monotonic() - begun,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * per_unit / 1e6,
        os.getloadavg()[1],
    )


def last_line(log: Path) -> str:
    """The last line that a step printed."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing was printed")[:300]


def write(path: Path, text: str) -> None:
    """Write a file so that a reader never sees half of it."""
    temporary = path.with_suffix(path.suffix + ".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def verdict(value: float, first: float, beyond: float) -> str:
    """Which bar a value reaches."""
    sign = 1 if beyond >= first else -1
    return NEXT if sign * value >= sign * beyond else FIRST if sign * value >= sign * first else MISSED


def table(row: str, results: list[dict[str, Any]]) -> str:
    """The results of a row as Markdown: values with the bar that they reach, columns only where there are values."""
    bars = {name: (first, beyond) for name, first, beyond in ROWS[row].bars}
    values = [
        result.get("scores", {}) | {name: result[name] for name in ("seconds", "cpu_seconds", "megabytes")}
        for result in results
    ]
    used = [name for name in COLUMNS if any(name in known for known in values)]
    heads = [
        f"{COLUMNS[name]} ({bars[name][0]:g}, {bars[name][1]:g})" if name in bars else COLUMNS[name] for name in used
    ]
    lines = [
        f"### {row}: {ROWS[row].title}",
        "",
        f"| subject | {' | '.join(heads)} |",
        "|---" * (len(used) + 1) + "|",
    ]
    for result, known in zip(results, values, strict=True):
        cells = []
        for name in used:
            text = f"{known[name]:.4g}" if name in known else ""
            if name in bars and name in known:
                text += {NEXT: " ++", FIRST: " +", MISSED: " (missed)"}[verdict(known[name], *bars[name])]
            cells.append(text)
        lines.append(f"| {result['subject']} | {' | '.join(cells)} |")
    lines.append("")
    lines += [f"- {result['subject']}: {warning}" for result in results for warning in result["warnings"]]
    lines += [
        f"- {result['subject']}: the machine was busy (load {result['load']:g} on {result['cores']} cores), so "
        "the seconds are too many"
        for result in results
        if result["load"] > result["cores"] + 1
    ]
    return "\n".join(lines).rstrip() + "\n"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.reconstruct", description=__doc__)
    parser.add_argument("--rows", default="orbit,teleport,turning,real,memory", help=", ".join(ROWS))
    parser.add_argument("--subjects", default=",".join(SUBJECTS), help="creatures and .glb files")
    parser.add_argument("--clips", default="", help="only these real videos")
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--data", type=Path, help="folder for data sets; OUT/data by default")
    parser.add_argument("--direct", action="store_true", help="recon4d.train.fit instead of the command")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds for a step")
    parser.add_argument("--again", action="store_true", help="also run what is there already")
    options = parser.parse_args(arguments)
    unknown = [row for row in split(options.rows) if row not in ROWS]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    return options


def split(text: str) -> list[str]:
    """The words of a list with commas."""
    return [word for word in text.split(",") if word]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is not there yet, and print the table; 1 where a case failed."""
    options = parse(arguments)
    samples = os.environ.get("RECON4D_SAMPLES")
    out = options.out.resolve()
    data = (options.data or out / "data").resolve()
    for folder in (out, data):
        folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(
        out, data, Path(samples).resolve() if samples else None, options.preset, options.seed, options.direct,
        options.limit, options.again,
    )  # fmt: skip
    found: dict[str, list[dict[str, Any]]] = {}
    failed: list[str] = []
    for case in bench.cases(split(options.rows), split(options.subjects), split(options.clips)):
        result = None if options.again else bench.result_of(case)
        if result is None:
            print(f"{case.row} {case.subject} ...", file=sys.stderr, flush=True)
            try:
                result = bench.run(case)
            except StepError as error:
                failed.append(f"{case.row} {case.subject}: {error}")
                print(f"  {error}", file=sys.stderr, flush=True)
                continue
            print(f"  {result['seconds']} s, {result['megabytes']} MB, {result['scores']}", file=sys.stderr, flush=True)
        found.setdefault(case.row, []).append(result)
    lines = [table(row, results) for row, results in found.items()]
    lines += [f"- failed: {line}" for line in failed] + [f"- {line}" for line in bench.said]
    text = "\n".join(lines) + "\n"
    write(out / "table.md", text)
    print(text, end="")
    return 1 if failed else 0


if __name__ == "__main__":
    # A terminated bench must not leave a step running: SystemExit passes through `run_step`, which ends it.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    raise SystemExit(main())
