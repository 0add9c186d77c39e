"""The main job: from a video, a folder of images or a data set to a scene with its report.

Every stage is kept in the work folder by its content, and the fit by checkpoints, so that a run that was stopped at any
moment goes on where it was and gives the scene that an unbroken run gives.  Does NOT print: it tells a listener.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import recon4d
from recon4d.core import InputError, SE3Spline
from recon4d.data.files import StorageError, disk_error, read_json
from recon4d.data.motion import StageCache
from recon4d.data.motion.cameras.record import MAY_TURN
from recon4d.pipeline import assemble, events, placing, prepare, resources, second_look, work
from recon4d.pipeline.depth import FoundDepth, find_depth
from recon4d.pipeline.finish import Outcome, write_result
from recon4d.pipeline.run import Clock, Run
from recon4d.pipeline.settings import ReconstructSettings
from recon4d.pipeline.source import Source, read_source
from recon4d.pipeline.split import split_frames
from recon4d.pipeline.stages import StageRecord
from recon4d.pipeline.turning import subject_path
from recon4d.train import FitConfig, fit, preset


@dataclass(frozen=True, eq=False)
class Reconstructed:
    """What was made.

    Attributes:
        scene, report, metrics: files and folders.
        scores: what metrics.json says.
        warnings: sentences for the user.
        seconds: of this run.
    """

    scene: Path
    report: Path
    metrics: Path
    scores: dict[str, Any]
    warnings: tuple[str, ...]
    seconds: float


def reconstruct(
    source: str | Path,
    output: str | Path,
    settings: ReconstructSettings | None = None,
    *,
    config: FitConfig | None = None,
    resume: bool = False,
    overwrite: bool = False,
    keep_work: bool = False,
    listen: events.Listener = events.nobody,
) -> Reconstructed:
    """Reconstruct a scene.

    Args:
        source: a video, a folder of images, or a data set with cameras.
        output: the scene folder, NAME.r4d; made at the end, whole.
        settings: everything that decides the result; the defaults when None.
        config: settings of the fit in place of the preset's; seed, device and blend are still those of `settings`.
        resume: go on with an unfinished run of the same job; where there is none, begin.
        overwrite: replace a scene of that name, and drop an unfinished run unless it is resumed.
        keep_work: leave the work folder, so that a later run with other settings finds the stages it shares.
        listen: told how it goes.

    Raises:
        InputError: anything that the user can mend; nothing is left at `output` then but what was there.
    """
    begun = time.monotonic()
    settings = settings or ReconstructSettings()
    device = _device(settings)
    chosen = config or preset(settings.preset)
    fit_config = replace(
        chosen,
        residual_nodes=settings.residual or chosen.residual_nodes,
        seed=settings.seed,
        device=device,
        blend="dual_quaternion" if settings.blend == "dual-quaternion" else "linear",
    )
    published = resume and work.published_job(Path(os.path.abspath(output))) is not None
    with work.checked_output(Path(output), overwrite=overwrite or published) as place:
        found = read_source(source, settings)
        job = _identity(found, settings, fit_config)
        if resume and work.take_published(place, job, overwrite=overwrite, keep=keep_work):
            listen(events.Noted("the earlier run had finished already"))
            return _reconstructed(place, {}, (), begun)
        _require_resources(found, settings, fit_config, place.parent)
        with work.open_work(place, job, resume=resume, overwrite=overwrite) as opened:
            if opened.resumed:
                listen(
                    events.Noted(f"going on in the stage {opened.stage or 'ingest'!r} where the earlier run stopped")
                )
            elif resume:
                listen(events.Noted("there is no unfinished run to go on with: starting from the beginning"))
            outcome = _carried_out(Run(found, settings, fit_config, opened, listen), keep_work=keep_work)
    return _reconstructed(place, outcome.metrics, outcome.warnings, begun)


def _require_resources(source: Source, settings: ReconstructSettings, config: FitConfig, folder: Path) -> None:
    scale = min(1.0, settings.side_limit / max(source.size))
    size = (round(source.size[0] * scale), round(source.size[1] * scale))
    frames = min(len(source.views), settings.frame_limit(posed=source.posed))
    followed = min(len(source.views), settings.motion_limit(posed=source.posed))
    objects = 1 if source.masks is None else source.masks.count()
    depth = settings.depth != "none"
    needs = resources.estimate(frames, size, config, objects=objects, followed=followed, depth=depth)
    resources.require(needs, folder)


def _carried_out(run: Run, *, keep_work: bool) -> Outcome:
    """All stages, and the result in its place.

    What is wrong with the input ends the job for good; a full disk or memory leaves it to be resumed.
    """
    try:
        outcome = _work_through(run)
        run.work.publish(keep=keep_work)
    except (OSError, MemoryError, RuntimeError, InputError) as error:
        line = _mendable(run.work.folder, error)
        if line is not None:
            raise line from error
        if isinstance(error, InputError):
            run.work.drop()
        raise
    return outcome


def _work_through(run: Run) -> Outcome:
    """All stages; the result lies in the work folder afterwards."""
    source, settings = run.source, run.settings
    cache = StageCache(run.work.folder)
    with run.stage("ingest") as tell:
        clip, record = prepare.read_clip(source, settings, cache, tell)
        run.done(record)
    with run.stage("masks") as tell:
        clip, objects, mask_health, record = prepare.mark_objects(clip, source, settings, cache, tell)
        run.done(record)
    with run.stage("cameras") as tell:
        solution, record = prepare.solve(clip, objects, source, settings, cache, tell)
        run.done(record)
    if second_look.is_worth_it(clip, objects, source, settings, solution):
        with run.stage(second_look.STAGE) as tell:
            found = second_look.look_again(clip, mask_health, solution, settings, cache, tell)
            run.done(found.record)
        if found.objects:
            run.settle("masks")
        if found.solution is not solution and found.solution.health.confident:
            run.settle("cameras")
        objects, mask_health, solution = found.objects, found.health, found.solution
    background, why = assemble.choose_background(settings, clip, mask_health, solution, len(objects))
    with run.stage("tracks") as tell:
        tracks, record = prepare.follow(clip, objects, source, background, cache, tell)
        run.done(record)
    roots: tuple[SE3Spline | None, ...] = ()
    if solution.health.chosen in ("scene", "rotation") and objects and source.film:
        with run.stage("subject") as tell:
            solution = placing.centred(clip, objects[0], solution)
            for masks in objects:
                root, record = subject_path(clip, masks, solution, cache, tell, settings.seed)
                roots = (*roots, root or placing.standing_path(clip, masks, solution))
                run.done(record)
        if all(record.confident for record in run.records if record.stage == "subject"):
            run.withdraw(MAY_TURN)
    has_test = bool(source.posed and source.dataset.split("test"))
    split = split_frames(clip, settings, posed=source.posed, has_test=has_test)
    depth: FoundDepth | None = None
    if settings.depth != "none":
        with run.stage("depth") as tell:
            used = np.array(split.fitted)
            depth, record = find_depth(
                clip, source.views, source.depth, settings.depth, source.posed, used, cache, tell
            )
            run.done(record)
    known = prepare.Prepared(clip, objects, mask_health, solution, tracks, roots, depth)
    capture, warnings = assemble.assemble(source, settings, known, background, split)
    with run.stage("fit"):
        fitted = fit(
            capture,
            run.config,
            checkpoint=run.work.checkpoint,
            resume=run.work.resumed,
            callback=Clock(run.work, run.listen),
        )
        layers = [f"{layer.name}: {len(layer.field):,} surfels" for layer in fitted.scene.layers]
        facts = (
            ("frames", f"{sum(capture.fitted)} fitted; {split.rule}"),
            ("background", f"{background}: {why}"),
            ("steps", f"{run.config.iterations:,}"),
            ("cameras", "corrected by the fit" if capture.refine_cameras else "kept as they are"),
            *(("layer", text) for text in layers),
        )
        smaller = run.config.levels[-1][1]
        if smaller > 1:
            text = f"pictures were fitted {smaller} times smaller: at full size, outlines and fine parts come out thin"
            warnings = (*warnings, text)
        reason = f"the preset {settings.preset!r}"
        run.done(StageRecord("fit", "; ".join(layers), reason, facts, (*warnings, *fitted.warnings)))
    return write_result(run, capture, fitted, split)


def _device(settings: ReconstructSettings) -> str:
    usable = torch.cuda.is_available()
    if settings.device == "cuda" and not usable:
        raise InputError(
            "--device cuda",
            expected="an NVIDIA GPU that torch can use",
            got="none",
            fix="use --device cpu, or install a torch with CUDA and its driver",
        )
    if settings.device == "auto":
        from recon4d.render import available_backends

        return "cuda" if usable and available_backends()["cuda"][0] else "cpu"
    return settings.device


def _identity(source: Source, settings: ReconstructSettings, config: FitConfig) -> dict[str, Any]:
    """What decides the result; two jobs of one identity give one scene."""
    fit_settings = asdict(config)
    for name in ("checkpoint_seconds", "snapshot_every"):
        del fit_settings[name]
    shown = asdict(settings) | {
        "masks": "given" if source.masks is not None else settings.masks,
        "depth": "given" if source.depth is not None else settings.depth,
    }
    document = {
        "recon4d": recon4d.__version__,
        "input": source.digest,
        "settings": shown,
        "settings_of_the_fit": fit_settings,
    }
    plain: dict[str, Any] = json.loads(json.dumps(document))
    return plain


def _reconstructed(place: Path, metrics: dict[str, Any], warnings: tuple[str, ...], begun: float) -> Reconstructed:
    if not metrics:
        metrics = dict(read_json(place / "metrics.json"))
        told = metrics.get("warnings")
        warnings = tuple(str(text) for text in told) if isinstance(told, list) else ()
    return Reconstructed(
        place, place / "report.html", place / "metrics.json", metrics, warnings, time.monotonic() - begun
    )


def _mendable(folder: Path, error: Exception) -> InputError | None:
    """The line for a full disk or a lack of memory that the estimates did not foresee; None for other errors."""
    full = disk_error(error)
    if full is not None or isinstance(error, StorageError):
        reason = error.got if isinstance(error, StorageError) else full and full.strerror
        return StorageError(
            str(folder),
            expected="room for the work files",
            got=reason or "a full disk",
            fix="free some space, then go on with --resume",
        )
    # Torch has an error of its own on the GPU, and a plain RuntimeError with these words on the CPU.
    out_of_memory = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(
        error
    )
    if out_of_memory:
        return InputError(
            "memory",
            expected="enough for these settings",
            got="none left",
            fix="close other programs and go on with --resume, or lower --max-frames or --max-side",
        )
    return None
