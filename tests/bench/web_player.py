"""How large pages of the web player are, what packing loses, and how near their pictures are to our own.

Usage: python tests/bench/web_player.py [SCENE.r4d ...]   (a built-in creature of 100,000 surfels without arguments)

Needs chromium for the pictures; see tests/export/web/browser.py.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from pathlib import Path

import torch

from recon4d.core import Camera
from recon4d.editors import open_view
from recon4d.export.formats import export_scene
from recon4d.export.request import ExportRequest
from recon4d.field import Field
from recon4d.scene import Layer, Scene
from recon4d.synthetic.creature_field import creature_field

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

SURFELS, FRAMES, SECONDS = 100_000, 100, 2.4


def creature_scene(degree: int) -> Scene:
    """A walking quadruped; with colours of degree 1 a shading that depends on the view, and some noise."""
    field = creature_field("quadruped", SURFELS)
    surfels = field.canonical
    if degree:
        away = torch.nn.functional.normalize(surfels.centers - surfels.centers.mean(0), dim=1)
        noise = torch.randn(SURFELS, 3, 3, generator=torch.Generator().manual_seed(0))
        rest = 0.1 * away[:, :, None].expand(-1, -1, 3) + 0.03 * noise
        field = Field(surfels.replace(sh=torch.cat([surfels.sh, rest], 1)), field.ids, field.warp)
    state = field.at(0.0).centers
    middle, size = (state.amax(0) + state.amin(0)) / 2, float((state.amax(0) - state.amin(0)).norm())
    cameras = []
    for i in range(FRAMES):
        angle = 0.6 + 2 * math.pi * i / FRAMES
        away = 1.6 * size * torch.tensor([math.cos(angle), math.sin(angle), 0.3])
        cameras.append(Camera.look_at(middle + away, middle, fov_y_degrees=40, width=400, height=400))
    times = torch.linspace(0, SECONDS, FRAMES, dtype=torch.float64)
    return Scene(times, cameras, [Layer("quadruped", "object", field)])


def measure(name: str, scene: Scene) -> None:
    """Export, open, compare, print."""
    from tests.export.web.browser import chromium, open_page, picture, psnr_in_subject

    with tempfile.TemporaryDirectory() as folder:
        path, began = Path(folder) / "page.html", time.perf_counter()
        result = export_scene(scene, "web", ExportRequest(path=path))
        seconds = time.perf_counter() - began
        times = scene.frame_times.tolist()
        views = [(scene.cameras[i], times[i]) for i in range(0, len(times), max(1, len(times) // 4))]
        views.append((scene.cameras[1], (times[0] + times[-1]) / 2 + 1e-3))
        with chromium() as browser:
            page, _ = open_page(browser, path)
            scores = [psnr_in_subject(picture(page, c, t), scene, c, t) for c, t in views]
        print(f"{name}: {path.stat().st_size / 1e6:.2f} MB, exported in {seconds:.1f} s")
        for label, value in result.numbers.items():
            print(f"  {label}: {value:.4g}" if isinstance(value, float) else f"  {label}: {value}")
        print("  PSNR in the subject against our pictures, dB:", ", ".join(f"{score:.1f}" for score in scores))


if __name__ == "__main__":
    if sys.argv[1:]:
        for given in sys.argv[1:]:
            measure(given, open_view(Path(given)))
    else:
        for degree in (0, 1):
            measure(f"quadruped, degree {degree}", creature_scene(degree))
