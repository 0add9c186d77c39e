"""The end of a reconstruction: measure, draw the report's pictures, and write everything into the work folder."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

import recon4d
from recon4d.core import Camera
from recon4d.data.files import write_bytes, write_json
from recon4d.data.motion import StageCache
from recon4d.data.motion.unfinished import unfinished
from recon4d.pipeline import pictures
from recon4d.pipeline.coverage import Coverage, find_coverage, world_up
from recon4d.pipeline.measure import ON_WHITE, Measured, measure
from recon4d.pipeline.page import Report, page
from recon4d.pipeline.resources import peak_memory
from recon4d.pipeline.run import Run
from recon4d.pipeline.split import Split
from recon4d.pipeline.stages import StageRecord
from recon4d.pipeline.work import identity_digest
from recon4d.scene import Scene, save
from recon4d.train import Capture, Fitted

_POOR = 20.0  # dB on kept-out frames, below which a scene is hardly usable.
_OVERFIT = 4.0  # dB between fitted and kept-out frames.


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was written."""

    metrics: dict[str, Any]
    warnings: tuple[str, ...]


def write_result(run: Run, capture: Capture, fitted: Fitted, split: Split) -> Outcome:
    """Measure the scene and write it with report.html and metrics.json to `run.work.result`."""
    cameras = fitted.cameras
    scene = replace(fitted.scene, layers=[replace(layer, field=layer.field.to("cpu")) for layer in fitted.scene.layers])
    with run.stage("evaluate") as tell:
        test = run.source.dataset if run.source.posed else None
        with unfinished(StageCache(run.work.folder), "evaluate", identity_digest(run.work.job)[:24]) as parts:
            measured = measure(
                scene,
                capture,
                cameras,
                split.measured,
                split.rule,
                test,
                parts,
                lambda done, total: tell("frames", done, total),
            )
        coverage = find_coverage(scene, capture, cameras)
        run.done(_evaluate_record(measured, coverage, run.records))
    with run.stage("write") as tell:
        total, drawn = pictures.COMPARED + pictures.TURNTABLE_VIEWS, [0]

        def step() -> None:
            drawn[0] += 1
            tell("pictures", min(drawn[0], total), total)

        comparisons = pictures.compare(scene, capture, cameras, split.measured, step)
        views = pictures.turntable(scene, capture, cameras, coverage, step)
        metrics = _metrics(run, scene, measured, coverage, fitted)
        scene = replace(scene, provenance=_provenance(run, measured, coverage))
        result = run.work.result
        shutil.rmtree(result, ignore_errors=True)
        save(scene, result)
        report = _report(run, capture, scene, fitted, measured, coverage, split, comparisons, views)
        write_bytes(result / "report.html", page(report).encode())
        write_json(result / "metrics.json", metrics)
    return Outcome(metrics, tuple(run.warnings))


def _evaluate_record(measured: Measured, coverage: Coverage | None, records: Sequence[StageRecord]) -> StageRecord:
    name, scores = measured.headline
    warnings = []
    psnr = scores.get("psnr_masked") or scores.get("psnr")
    if psnr is not None and psnr < _POOR:
        warnings.append(f"the scene shows the input poorly ({psnr:.1f} dB on {name}): look at it before you use it")
    both = [values.get("psnr_masked") or values.get("psnr") for values in (measured.fitted, measured.kept_out)]
    if both[0] is not None and both[1] is not None and both[0] - both[1] > _OVERFIT:
        warnings.append(
            f"frames that the fit has not seen come out {both[0] - both[1]:.1f} dB worse than those it has: between "
            "the frames, and from other sides, the scene is less sure than it looks"
        )
    if not measured.kept_out and measured.test is None:
        warnings.append("no frame was kept out: the scores are those of fitted frames and say little of other views")
    facts = [("compared on", measured.on), ("frames kept out", measured.rule)]
    if coverage is not None:
        facts += [
            ("seen around", f"{coverage.azimuth_degrees:.0f} of 360 degrees"),
            ("directions near a view", f"{100 * coverage.seen_share:.0f} %"),
        ]
        said = any("was seen from" in text for record in records for text in record.warnings)
        text = coverage.warning()
        if text is not None and not said:
            warnings.append(text)
    shown = [
        (label, scores.get(key))
        for key, label in (("psnr_masked", "PSNR, subject"), (ON_WHITE, "on white"), ("psnr", "PSNR"), ("ssim", "SSIM"))
    ]
    chosen = ", ".join(f"{label} {value:.4g}" for label, value in shown if value is not None)
    return StageRecord("evaluate", chosen or "nothing to compare", f"measured on {name}", tuple(facts), tuple(warnings))


def _scores(measured: Measured) -> dict[str, float]:
    """The scores that count, rounded as one would quote them."""
    return {key: round(value, 4) for key, value in measured.headline[1].items() if value is not None}


def _coverage_json(coverage: Coverage | None) -> dict[str, object]:
    """Empty where there is no subject."""
    if coverage is None:
        return {}
    return {
        "azimuth_degrees": round(coverage.azimuth_degrees, 1),
        "range_degrees": round(coverage.range_degrees, 1),
        "seen_share": round(coverage.seen_share, 4),
        "views_per_cell": coverage.counts.astype(int).tolist(),
        "cells": "rows: elevation 90 to -90; columns: azimuth -180 to 180, 0 is the first view",
    }


def _versions() -> dict[str, str]:
    return {"recon4d": recon4d.__version__, "torch": torch.__version__, "python": platform.python_version()}


def _provenance(run: Run, measured: Measured, coverage: Coverage | None) -> dict[str, Any]:
    """Where the scene comes from; holds nothing that differs between two runs of one job."""
    return {
        "made_by": "recon4d reconstruct",
        "versions": _versions(),
        "job_sha256": identity_digest(run.work.job),
        "input": {
            "name": run.source.dataset.root.name,
            "format": run.source.dataset.format,
            "sha256": run.source.digest,
        },
        "settings": run.work.job["settings"],
        "fit": run.work.job["settings_of_the_fit"],
        "threads": torch.get_num_threads(),
        "stages": [record.to_json() for record in run.records],
        "measured_on": measured.headline[0],
        "scores": _scores(measured),
        "coverage": {k: v for k, v in _coverage_json(coverage).items() if k not in ("views_per_cell", "cells")},
        "warnings": list(run.warnings),
    }


def _metrics(run: Run, scene: Scene, measured: Measured, coverage: Coverage | None, fitted: Fitted) -> dict[str, Any]:
    seconds = {name: round(value, 2) for name, value in run.work.seconds.items()}
    return {
        "measured_on": measured.headline[0],
        "scores": _scores(measured),
        **measured.to_json(),
        "coverage": _coverage_json(coverage),
        "surfels": {layer.name: len(layer.field) for layer in scene.layers},
        "seconds": seconds,
        "seconds_total": round(sum(seconds.values()), 2),
        "peak_memory_mib": round(peak_memory() / (1 << 20)),
        "curve": [list(row) for row in fitted.curve],
        "warnings": list(run.warnings),
    }


def _report(
    run: Run,
    capture: Capture,
    scene: Scene,
    fitted: Fitted,
    measured: Measured,
    coverage: Coverage | None,
    split: Split,
    comparisons: Sequence[pictures.Comparison],
    views: Sequence[pictures.TurntableView],
) -> Report:
    cameras: Sequence[Camera] = fitted.cameras
    name, scores = measured.headline
    masked, whole = scores.get("psnr_masked"), scores.get("psnr")
    minutes, rest = divmod(round(sum(run.work.seconds.values())), 60)
    summary = [
        *(
            (f"{value:.1f} dB", f"PSNR, {what}{name}")
            for value, what in ((masked, "subject, "), (whole, "" if masked is None else "whole picture, "))
            if value is not None
        ),
        (f"{sum(capture.fitted)} of {len(capture)}", "frames fitted"),
        (f"{sum(len(layer.field) for layer in scene.layers):,}", "surfels"),
        (f"{len(scene.layers)}", "layers"),
        (f"{minutes} min {rest} s" if minutes else f"{rest} s", "of work"),
    ]
    if coverage is not None:
        summary.insert(1 if masked is None else 2, (f"{coverage.azimuth_degrees:.0f}\u00b0", "seen around"))
    facts = [
        ("input", run.source.dataset.description),
        ("SHA-256 of the input", run.source.digest),
        *(
            (f"--{key.replace('_', '-')}", "by the preset or the input" if value is None else str(value))
            for key, value in asdict(run.settings).items()
        ),
        *((f"{key} version", value) for key, value in _versions().items()),
        ("machine", f"{platform.machine()}, {torch.get_num_threads()} threads, device {run.config.device}"),
        ("most memory", f"{peak_memory() / (1 << 20):.0f} MiB"),
    ]
    return Report(
        run.work.output.stem,
        tuple(summary),
        tuple(run.warnings),
        comparisons,
        views,
        coverage,
        fitted.curve,
        measured,
        np.stack([camera.center_in_world.double().numpy() for camera in cameras]),
        np.stack([camera.cam_from_world[2, :3].double().numpy() for camera in cameras]),
        world_up(list(cameras)),
        split.measured,
        run.records,
        run.work.seconds,
        tuple(facts),
    )
