"""`recon4d render`: a scene as a video, a picture or a folder of pictures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recon4d.cli.console import print_line, progress
from recon4d.core import Camera, InputError
from recon4d.editors import open_view
from recon4d.export import Drawn, camera_paths, draw_video, find_subject, read_camera_file, timeline
from recon4d.scene import Scene, load

PATHS = ("orbit", "input", "spiral", "dolly", "bullet-time")


@dataclass(frozen=True)
class RenderOptions:
    """The command's options, named and described in `app.render`."""

    path: str
    time: str | None
    what: Literal["color", "depth", "normal", "alpha", "bones"]
    size: str | None
    fps: float | None
    seconds: float | None
    background: str
    layers: tuple[str, ...]
    supersample: int
    elevation: float | None
    turns: float | None
    start: float
    distance: float
    dolly_zoom: bool
    raw: bool
    base: bool
    depth_range: str | None
    backend: Literal["auto", "reference", "cpu", "cuda", "gsplat"]
    overwrite: bool


def render_scene(path: Path, output: Path, options: RenderOptions, *, quiet: bool) -> None:
    """Draw the scene in the folder `path` to `output`, and say what was drawn unless `quiet`."""
    size = None if options.size is None else _parse_size(options.size)
    depth_range = None if options.depth_range is None else _parse_range(options.depth_range)
    scene = load(path) if options.base else open_view(path)
    cameras, times, fps = _plan(scene, options)
    began = time.perf_counter()
    with progress(quiet=quiet) as tell:
        drawn = draw_video(
            scene,
            cameras,
            times,
            output=output,
            what=options.what,
            size=size,
            fps=fps,
            background=options.background,
            layers=options.layers,
            supersample=options.supersample,
            raw=options.raw,
            depth_range=depth_range,
            overwrite=options.overwrite,
            backend=options.backend,
            progress=lambda done, total: tell("drawing", done, total),
        )
    if not quiet:
        _report(drawn, times, time.perf_counter() - began, options)


def _plan(scene: Scene, options: RenderOptions) -> tuple[list[Camera], list[float], float]:
    """Cameras, times and frames per second."""
    if options.path.endswith(".json") or Path(options.path).is_file():
        return _plan_of_file(scene, options)
    if options.path not in PATHS:
        raise InputError(
            "--path",
            expected=f"{', '.join(PATHS)} or a .json file",
            got=repr(options.path[:80]),
            fix="see docs/render.md",
        )
    text = options.time
    if options.path == "bullet-time":
        known = scene.frame_times.tolist()
        frames = timeline(
            scene, repr(known[len(known) // 2]) if text is None else text, fps=options.fps, seconds=options.seconds
        )
        if not frames.frozen:
            raise InputError(
                "--time", expected="one moment for bullet-time", got=repr(text), fix="give it in seconds, as 1.5"
            )
    else:
        frames = timeline(scene, text or "all", fps=options.fps, seconds=options.seconds)
    times, layers = list(frames.times), options.layers
    usual = 2.0 if options.path == "spiral" else 1.0
    turns = usual if options.turns is None else options.turns
    if options.path == "orbit":
        cameras = camera_paths.orbit(
            scene,
            times,
            elevation=options.elevation,
            start=options.start,
            distance=options.distance,
            layers=layers,
            turns=turns,
        )
    elif options.path == "input":
        cameras = camera_paths.input_path(scene, times)
    elif options.path == "spiral":
        cameras = camera_paths.spiral(scene, times, distance=options.distance, turns=turns, layers=layers)
    elif options.path == "dolly":
        cameras = camera_paths.dolly(scene, times, zoom=options.dolly_zoom, layers=layers)
    else:
        cameras = camera_paths.bullet_time(scene, times[0], len(times), degrees=360.0 * turns, layers=layers)
    return cameras, times, frames.fps


def _plan_of_file(scene: Scene, options: RenderOptions) -> tuple[list[Camera], list[float], float]:
    """A camera file says how long the video is, and may say which moments it shows; options go before it."""
    subject = find_subject(scene, options.layers)
    file = read_camera_file(options.path, subject.lens, subject.up)
    fps = file.fps if options.fps is None else options.fps
    seconds = options.seconds
    slow = options.time is not None and options.time.startswith("slow:")
    if seconds is None and file.seconds > 0 and not slow:
        seconds = file.seconds
    frames = timeline(scene, options.time or "all", fps=fps, seconds=seconds)
    times = list(frames.times)
    own = file.times(len(times)) if options.time is None else None
    return file.cameras(len(times)), own or times, frames.fps


def _parse_size(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
        raise InputError("--size", expected="WIDTHxHEIGHT in pixels", got=repr(text[:40]), fix="write it as 640x480")
    return int(width), int(height)


def _parse_range(text: str) -> tuple[float, float]:
    near, _, far = text.partition(":")
    try:
        return float(near), float(far)
    except ValueError:
        raise InputError(
            "--depth-range", expected="NEAR:FAR in scene units", got=repr(text[:40]), fix="write it as 1.5:4"
        ) from None


def _report(drawn: Drawn, times: list[float], seconds: float, options: RenderOptions) -> None:
    shown = times[: drawn.frames]
    span = f"at {shown[0]:.4g} s" if max(shown) == min(shown) else f"from {shown[0]:.4g} s to {shown[-1]:.4g} s"
    count = "1 picture" if drawn.frames == 1 else f"{drawn.frames} pictures"
    print_line(f"Drew {count} of {drawn.width} x {drawn.height} pixels, the scene {span}, in {seconds:.1f} s.")
    if drawn.fps is not None:
        print_line(f"The video runs at {drawn.fps:.4g} frames a second for {drawn.frames / drawn.fps:.2f} s.")
    elif len(times) > drawn.frames:
        print_line(f"A .png is the first of the {len(times)} views; a folder or a video has all of them.")
    if drawn.depth_range is not None and not options.raw:
        near, far = drawn.depth_range
        print_line(f"Depth goes from {near:.4g} (light) to {far:.4g} (dark) scene units.")
    if options.what == "normal":
        print_line("Normals are in the camera's frame: right is red, up is green, towards the camera is blue.")
    for note in drawn.notes:
        print_line(note)
    print_line(f"  {drawn.path}")
