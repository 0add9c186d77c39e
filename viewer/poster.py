"""The picture that a page shows while its program is still being read: the scene as a new browser will see it.

It comes with the page itself, so it is there at once, from the camera at which browsers begin and by our own
rasterizer, and gives way to the exact picture that the browser then asks for.

Does NOT know sockets: `server` sends the page, `stage` takes the picture away.
"""

from __future__ import annotations

import base64
import io
import logging
import math
import threading

import torch

from recon4d.core import Camera
from recon4d.editors import SceneView
from recon4d.viewer import exact
from recon4d.viewer.look import Look
from recon4d.viewer.project import Project
from recon4d.viewer.space import Space

HEIGHT = 540  # pixels
_WIDEST = 2.4  # sides of the widest window that is filled; narrower ones cut the picture on its left and right
_QUALITY = 85
_log = logging.getLogger(__name__)

TAKE_AWAY = "document.getElementById('poster')?.remove()"

# The picture lies over the canvas and under the panels, as large as the canvas, once that is there, and goes when the
# canvas has the exact one, or when somebody begins to do something.
_PAGE = """
<img id="poster" alt="" elementtiming="poster" src="data:image/jpeg;base64,{content}"
  style="position:fixed;left:0;top:0;width:100vw;height:100vh;object-fit:cover;z-index:1;pointer-events:none">
<script>
(() => {{
  const poster = document.getElementById("poster");
  const away = () => poster.remove();
  for (const what of ["pointerdown", "wheel", "keydown"]) addEventListener(what, away, {{ capture: true, once: true }});
  const follow = () => {{
    if (!poster.isConnected) return;
    const box = document.querySelector("canvas")?.getBoundingClientRect();
    if (box && box.width > 50) {{
      Object.assign(poster.style, {{
        left: box.left + "px", top: box.top + "px", width: box.width + "px", height: box.height + "px",
      }});
    }}
    requestAnimationFrame(follow);
  }};
  follow();
}})();
</script>
"""


class Poster:
    """Draws the picture when it is needed, and keeps it while the scene stays as it is.

    Args:
        project: that is looked at.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._drawn: tuple[SceneView, str] | None = None
        self._lock = threading.Lock()

    def html(self, space: Space) -> str:
        """The picture as a part of a page; empty where it cannot be drawn.

        Args:
            space: of the page.
        """
        with self._lock:
            view = self._project.view
            if self._drawn is None or self._drawn[0] is not view:
                self._drawn = (view, self._draw(view, space))
            return self._drawn[1]

    def _draw(self, view: SceneView, space: Space) -> str:
        from PIL import Image

        try:
            picture = exact.draw(view, float(view.frame_times[0]), _camera(view, space), Look())
        except Exception:
            _log.exception("the first picture could not be drawn")  # the page comes without it
            return ""
        content = io.BytesIO()
        Image.fromarray(picture.rgb).save(content, "JPEG", quality=_QUALITY)
        return _PAGE.format(content=base64.b64encode(content.getvalue()).decode())


def _camera(view: SceneView, space: Space) -> Camera:
    """Where browsers begin, as wide as a window can be."""
    page = space.page_camera(view.cameras[0])
    return Camera.look_at(
        torch.from_numpy(space.to_world(page.position)),
        torch.from_numpy(space.to_world(page.look_at)),
        up=torch.from_numpy(page.up),
        fov_y_degrees=math.degrees(page.fov),
        width=round(_WIDEST * HEIGHT),
        height=HEIGHT,
    )
