"""What one client's page shows of the scene: splats while it moves, the exact picture when it rests.

The splats of every layer are a node of their own, so that a layer that stands still is sent once.  Frames are packed
when they are needed and kept in a cache that all clients share.  While anything moves, splats are shown; when the
camera has rested for a moment, the painter is asked for the exact picture, and the splats give way to it.

Does NOT decide what to show (`session` does) and draws nothing itself.
"""

from __future__ import annotations

import threading
import time as clock
from typing import TYPE_CHECKING

import numpy as np
from viser import _messages

from recon4d.editors import SceneView
from recon4d.editors.edited_field import EditedField
from recon4d.field import IdentityWarp
from recon4d.scene import Layer
from recon4d.viewer import exact, poster, splats, threads
from recon4d.viewer.identity import identity
from recon4d.viewer.look import Look
from recon4d.viewer.painter import Wish
from recon4d.viewer.shared import Shared
from recon4d.viewer.space import Space

if TYPE_CHECKING:
    import viser

MAX_SIDE = 1920  # pixels of an exact picture; larger windows get it scaled
_DECODING = 0.1  # seconds that a page needs for a picture
_PATIENCE = 20.0  # seconds for a page's answer
_FAR = 160.0  # page units; the page's depths end at 167
_QUALITY = 90


class Stage:
    """The pictures in one client's window.

    Args:
        client: its handle.
        shared: by all clients.
    """

    def __init__(self, client: viser.ClientHandle, shared: Shared) -> None:
        self.client, self.shared = client, shared
        self.frames, self.painter = shared.frames, shared.painter
        self._nodes: dict[str, viser.GaussianSplatHandle] = {}
        self._shown: dict[str, object] = {}  # key of the frame that each node has
        self._splats_seen = False
        self._backdrop: tuple[float, float, float] | None = None
        self._lock = threading.RLock()
        self._sent = 0
        self._poster = True  # whether the page may still have the picture that it came with
        self.picture_sent = threading.Event()  # the full picture is on its way
        self.exact_shown = threading.Event()  # the page has it

    def show_splats(
        self, view: SceneView, time: float, look: Look, marks: exact.Marks, confidence: exact.Confidences | None
    ) -> None:
        """Show the scene at a time as splats, at once."""
        self.painter.forget(self.client.client_id)
        with self._lock, self.client.atomic():
            self.picture_sent.clear()
            self.exact_shown.clear()
            full = [layer for layer in view.layers if len(layer.field)] if look.mode != "Mesh" else []
            wanted = {layer.name: layer for layer in full}
            for name in [name for name in self._nodes if name not in wanted]:
                self._nodes.pop(name).remove()
                self._shown.pop(name, None)
            for index, layer in enumerate(wanted.values()):
                self._show_layer(index, layer, time, look, marks, confidence)
            self._backdrop_of(look)
            self._set_visible(True)
        self.client.flush()

    def wish_exact(
        self, view: SceneView, time: float, look: Look, marks: exact.Marks, confidence: exact.Confidences | None
    ) -> None:
        """Ask for the exact picture from where the client's camera is now."""
        page = self.client.camera
        width, height = page.image_width, page.image_height
        if width < 1 or height < 1:
            return
        share = min(1.0, MAX_SIDE / max(width, height))
        whole = self.shared.space.camera(
            page.wxyz,
            page.position,
            page.fov,
            width=max(1, round(width * share)),
            height=max(1, round(height * share)),
        )

        def draw(w: int, h: int) -> exact.Picture:
            return exact.draw(view, time, whole.resized(w, h), look, selected=marks, confidence=confidence)

        self.painter.wish(self.client.client_id, Wish(whole.width, whole.height, draw, self.show_picture))

    def show_picture(self, picture: exact.Picture, full: bool) -> None:
        """Show a picture behind everything, in the depth of the scene, in place of the splats."""
        with self._lock:
            depth = np.minimum(picture.depth * self.shared.space.factor, _FAR)
            self.client.scene.set_background_image(picture.rgb, "jpeg", jpeg_quality=_QUALITY, depth=depth)
            self._backdrop = None
            self.client.flush()
            self._sent += 1
            if full:
                self.picture_sent.set()
        threads.begin(self._hand_over, self._sent, full)

    def clear(self) -> None:
        """Take everything away."""
        with self._lock:
            for node in self._nodes.values():
                node.remove()
            self._nodes.clear()
            self._shown.clear()

    def _hand_over(self, sent: int, full: bool) -> None:
        """Take the splats away when the page has the picture; until then both are there, rather than neither."""
        try:
            # Answers come in the order of messages, so the page has begun with the picture when this one is there.
            self.client.local_storage.get_item("recon4d", timeout=_PATIENCE)
        except (TimeoutError, RuntimeError):
            return
        clock.sleep(_DECODING)
        with self._lock:
            if self._backdrop is None and self._sent == sent:  # nothing newer has been asked for since
                self._set_visible(False)
                self.client.flush()
                if full:
                    self._take_poster_away()
                    self.exact_shown.set()

    def _take_poster_away(self) -> None:
        if self._poster:
            self._poster = False
            self.client._websock_connection.queue_message(_messages.RunJavascriptMessage(poster.TAKE_AWAY))

    def _set_visible(self, visible: bool) -> None:
        for node in self._nodes.values():
            node.visible = visible
        self._splats_seen = visible

    def _backdrop_of(self, look: Look) -> None:
        """One pixel of the background's colour in place of a picture."""
        if self._backdrop != look.background:
            self._backdrop = look.background
            pixel = np.rint(255 * np.asarray(look.background)).astype(np.uint8).reshape(1, 1, 3)
            self.client.scene.set_background_image(pixel, "png")

    def _show_layer(
        self,
        index: int,
        layer: Layer,
        time: float,
        look: Look,
        marks: exact.Marks,
        confidence: exact.Confidences | None,
    ) -> None:
        mark = marks.get(layer.name)
        known = None if confidence is None else confidence.get(layer.name)
        moment = None if _stands_still(layer) else round(time, 9)
        plain = (look.mode, look.brightness if look.mode == "Colour" else 1.0)
        marked = (None if mark is None else identity(mark), None if known is None else identity(known), look.guesses)
        key = (identity(layer.field), moment, *plain, *marked)
        if self._shown.get(layer.name) == key:
            return
        buffer = self.frames.get(key, lambda: _packed(layer, time, look, marks, confidence, self.shared.space))
        node = self._nodes.get(layer.name)
        if node is None:
            # The name of a layer is a user's text: nodes are numbered instead.
            self._nodes[layer.name] = self.client.scene.add_gaussian_splats(
                f"/scene/layer_{index}_{identity(layer)}",
                np.zeros((1, 3)),
                np.zeros((1, 3, 3)),
                np.zeros((1, 3)),
                np.zeros((1, 1)),
                scale=1.0 / splats.GRAIN,
                visible=True,
            )
            node = self._nodes[layer.name]
        node.buffer = buffer
        self._shown[layer.name] = key


def _packed(
    layer: Layer,
    time: float,
    look: Look,
    marks: exact.Marks,
    confidence: exact.Confidences | None,
    space: Space,
) -> splats.Buffer:
    state = exact.state_of(layer, time, appearance=look.mode == "Colour")
    colors = exact.splat_colors(layer, state, look, marks, confidence)
    return splats.pack(state, space, colors)


def _stands_still(layer: Layer) -> bool:
    return isinstance(layer.field.warp, IdentityWarp) and not isinstance(layer.field, EditedField)
