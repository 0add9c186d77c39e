"""Getting things out: camera keys and films, exports in every format, snapshots, and a page to share."""

from __future__ import annotations

import io
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recon4d.core import InputError
from recon4d.export.formats import FORMATS, export_scene
from recon4d.viewer import exact, filming, threads
from recon4d.viewer.exporting import Options, options_of, request_of
from recon4d.viewer.forms import Form
from recon4d.viewer.jobs import Job
from recon4d.viewer.text import escaped, shown

if TYPE_CHECKING:
    from recon4d.viewer.session import Session

_MOST_SENT = 200 * 1024 * 1024  # bytes that go through the page; larger files stay in the scene's folder
_PREVIEW_STEP = 1 / 15
_WHATS = {"Colour": "color", "Depth": "depth", "Normals": "normal", "Coverage": "alpha", "Bones": "bones"}


class OutputPanel:
    """The controls of `filming` and of the exports."""

    def __init__(self, session: Session, container: Any) -> None:
        self.session = session
        self.job: Job | None = None
        self._previewing = False
        gui, guarded = session.gui, session.guarded
        formats = {f"{one.title} ({name})": name for name, one in FORMATS.items()}
        self.formats = formats
        with container:
            self.progress = gui.add_progress_bar(0.0, visible=False)
            self.words = gui.add_markdown("", visible=False)
            self.stop = gui.add_button("Stop", visible=False, color="red", icon="player-stop")
            with gui.add_folder("Film"):
                self.path = gui.add_dropdown("Camera path", filming.PATHS, initial_value="Turntable")
                self.what = gui.add_dropdown("Picture", tuple(_WHATS))
                self.size = gui.add_dropdown("Size", tuple(filming.SIZES))
                self.fps = gui.add_number("Frames a second", 24, min=1, max=120, step=1)
                self.render = gui.add_button("Render the film", color="orange", icon="movie")
            with gui.add_folder("Camera keys", expand_by_default=False):
                self.listed = gui.add_markdown("")
                self.pause = gui.add_number("Seconds since the key before", 1.0, min=0.05, max=600, step=0.1)
                self.keys = gui.add_button_group("", ("Add a key", "Remove last", "Clear"))
                self.preview = gui.add_button("Preview the path", icon="player-play")
            self.folder = gui.add_folder("Export")
            with self.folder:
                self.format = gui.add_dropdown("Format", tuple(formats), order=0.0)
                self.export = gui.add_button("Export", color="orange", icon="download", order=2.0)
            with gui.add_folder("Picture and page"):
                self.snapshot = gui.add_button(
                    "Save a snapshot",
                    icon="camera",
                    hint="The scene as shown, without panels, tools and input frame",
                )
                self.share = gui.add_button(
                    "Make a web page to share", icon="world", hint="One file that plays the scene offline, anywhere"
                )
        self.render.on_click(guarded(lambda _: self._render()))
        self.keys.on_click(guarded(lambda _: self._press(self.keys.value)))
        self.preview.on_click(guarded(lambda _: self._toggle_preview()))
        self.format.on_update(guarded(lambda _: self._offer()))
        self.export.on_click(guarded(lambda _: self._export(self.formats[self.format.value], self.options.make())))
        self.snapshot.on_click(guarded(lambda _: self.save_snapshot()))
        self.share.on_click(guarded(lambda _: self._export("web")))
        self.stop.on_click(guarded(lambda _: self._stop()))
        session.on_change.append(self.refresh)
        self._fields: Any = None
        self._offer()
        self.refresh()

    def _offer(self) -> None:
        """Show what can be chosen for the format."""
        with self.session.upkeep:
            self._show_options()

    def _show_options(self) -> None:
        if self._fields is not None:
            self._fields.remove()
        gui = self.session.gui
        with self.folder:
            self._fields = gui.add_folder("Options", order=1.0, expand_by_default=False)
            with self._fields:
                self.options = Form(self.session, options_of(self.formats[self.format.value]))
        self._layers = self._names()

    def _names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.session.project.state.layers)

    def refresh(self) -> None:
        """List the camera keys, and the layers that there are."""
        if self._names() != self._layers:
            self._offer()
        keys = self.session.project.notes.keys
        self.listed.content = (
            "\n".join(f"- at {key.time:.2f} s, showing {key.scene_time:.2f} s of the scene" for key in keys)
            or "No keys yet: find a view and add one. The path runs smoothly through all of them."
        )

    def add_key(self) -> None:
        """Make the present view and moment the next key of the path."""
        project, session = self.session.project, self.session
        keys = project.notes.keys
        when = keys[-1].time + float(self.pause.value) if keys else 0.0
        key = filming.key_of(session.camera(), when, session.playback.time)
        project.note(replace(project.notes, keys=(*keys, key)))
        self.path.value = filming.PATHS[0]
        session.notify(f"Key {len(keys) + 1} at {when:.2f} s", seconds=2.0)

    def save_snapshot(self) -> None:
        """Send the present picture as a file."""
        from PIL import Image

        session, content = self.session, io.BytesIO()
        Image.fromarray(self._picture()).save(content, "PNG")
        session.client.send_file_download("snapshot.png", content.getvalue(), save_immediately=True)

    def _picture(self) -> np.ndarray:
        """[H, W, 3] bytes of the scene as shown: by the rasterizer, and meshes by the page, which alone draws them."""
        session = self.session
        if session.look.mode == "Mesh":
            camera = session.client.camera
            page: np.ndarray = session.client.get_render(camera.image_height, camera.image_width)
            return page[..., :3]
        confidence = session.shared.confidence() if session.look.guesses or session.look.mode == "Confidence" else None
        picture = exact.draw(
            session.project.view, session.playback.time, session.camera(), session.look, confidence=confidence
        )
        return picture.rgb

    def _press(self, button: str) -> None:
        project = self.session.project
        if button == "Add a key":
            self.add_key()
        else:
            keys = project.notes.keys[:-1] if button == "Remove last" else ()
            project.note(replace(project.notes, keys=keys))

    def _toggle_preview(self) -> None:
        if self._previewing:
            self._stop_preview()
            return
        keys = self.session.project.notes.keys
        path = filming.path_through(keys, 640, 360)
        if len(keys) < 2:
            raise InputError("camera keys", expected="at least two", got="one", fix="add another key")
        self._previewing = True
        self.preview.label = "Stop the preview"
        threads.begin(self._run_preview, path, stop=self._stop_preview)

    def _stop_preview(self) -> None:
        self._previewing = False

    def _run_preview(self, path: Any) -> None:
        session = self.session
        try:
            count = max(2, round(path.seconds / _PREVIEW_STEP) + 1)
            cameras, moments = path.cameras(count), path.times(count)
            begun = time.monotonic()
            while self._previewing and (passed := time.monotonic() - begun) <= path.seconds:
                at = min(round(passed / _PREVIEW_STEP), count - 1)
                session.playback.seek(moments[at])
                session.go_to(session.shared.space.page_camera(cameras[at]))
                time.sleep(_PREVIEW_STEP)
            session.time_changed()
        finally:
            self._previewing = False
            self.preview.label = "Preview the path"

    def _render(self) -> None:
        session = self.session
        size = filming.SIZES[self.size.value]
        made = filming.film(
            session.project.view, self.path.value, session.project.notes.keys, fps=float(self.fps.value), size=size
        )
        view, what, background = session.project.view, _WHATS[self.what.value], filming.hex_of(session.look.background)
        name = shown(self.path.value).lower().replace(" ", "-")

        def work(job: Job, folder: Path) -> tuple[Path, str]:
            place = filming.place_for(folder, name, ".mp4")

            def progress(done: int, total: int) -> None:
                job.step(done / total, f"{done} of {total} frames")

            filming.write_film(view, made, place, size=size, background=background, what=what, progress=progress)
            return place, f"{len(made.times)} frames"

        self._begin("Rendering the film", work)

    def _export(self, name: str, options: Options | None = None) -> None:
        view, folder_of_scene = self.session.project.view, self.session.project.folder
        frames = self.session.shared.inputs.given
        suffixes = FORMATS[name].suffixes

        def work(job: Job, folder: Path) -> tuple[Path, str]:
            place = filming.place_for(folder, f"scene-{name}", suffixes[0] if suffixes else "")

            def progress(stage: str, done: int, total: int) -> None:
                job.step(done / max(total, 1), f"{stage}, {done} of {total}")

            request = request_of(options, place, scene_path=folder_of_scene, frames=frames, progress=progress)
            result = export_scene(view, name, request)
            told = "; ".join([f"{key} {_number(value)}" for key, value in result.numbers.items()][:6])
            for warning in result.warnings:
                self.session.notify("Worth knowing", warning, color="yellow", seconds=15.0)
            return result.files[0], told

        self._begin(f"Exporting {name}", work)

    def _begin(self, title: str, work: Any) -> None:
        """Do long work in the background, one thing at a time."""
        if self.job is not None:
            raise InputError("output", expected="one thing at a time", got="another", fix="wait for it, or stop it")
        folder = self.session.project.folder
        scratch = None if folder is not None else tempfile.mkdtemp(prefix="recon4d-")
        self.progress.value = 0.0
        self.progress.visible = self.words.visible = self.stop.visible = True
        self.words.content = escaped(title)
        told_at = [0.0]

        def told(share: float, text: str) -> None:
            if time.monotonic() - told_at[0] > 0.2 or share >= 1:
                told_at[0] = time.monotonic()
                self.progress.value = round(100 * share, 1)
                self.words.content = escaped(f"{title}: {text}")

        def ended(result: Any, trouble: str | None) -> None:
            self.job = None
            self.progress.visible = self.words.visible = self.stop.visible = False
            if trouble is not None:
                self.session.notify(title, trouble, color="red" if trouble != "Stopped." else None, seconds=12.0)
            else:
                self._hand_over(*result)
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)

        self.job = Job(title, told, ended)
        self.job.start(lambda job: work(job, folder if folder is not None else Path(scratch or "")))

    def _hand_over(self, place: Path, told: str) -> None:
        """Send a file to the browser, and say where it lies."""
        session = self.session
        sent = place
        if place.is_dir():
            sent = Path(shutil.make_archive(str(place), "zip", place))
        where = f"It lies in {place}." if session.project.folder is not None else ""
        if sent.stat().st_size <= _MOST_SENT:
            session.client.send_file_download(sent.name, sent.read_bytes(), save_immediately=True)
            where = f"{where} Your browser has downloaded it."
        session.notify(f"{place.name} is ready", f"{told}. {where}".strip(), color="green", seconds=20.0)

    def _stop(self) -> None:
        if self.job is not None:
            self.job.cancel()


def _number(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
