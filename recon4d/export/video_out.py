"""The exporter of video: the scene as its own cameras see it.

`recon4d render` has every other path and kind of picture.  Does NOT draw; `video` does.
"""

from __future__ import annotations

from recon4d.export import camera_paths
from recon4d.export.request import ExportRequest, ExportResult
from recon4d.export.video import draw_video
from recon4d.scene import Scene

_USUAL_FPS = 24.0


def export_video(scene: Scene, request: ExportRequest) -> ExportResult:
    """An H.264 video through the scene's own cameras."""
    times = request.times(scene)
    span = times[-1] - times[0]
    fps = (len(times) - 1) / span if span > 0 else _USUAL_FPS
    drawn = draw_video(
        scene,
        camera_paths.input_path(scene, times),
        times,
        output=request.path,
        fps=fps,
        layers=tuple(layer.name for layer in request.chosen(scene)),
        overwrite=request.overwrite,
        progress=lambda done, total: request.progress("drawing", done, total),
    )
    numbers: dict[str, float | int | str] = {"frames": drawn.frames, "fps": fps}
    return ExportResult((request.path,), numbers, drawn.notes)
