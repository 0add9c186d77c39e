"""Makes a data set with known truth from a moving subject: the work behind `recon4d synthesize`.

The same settings give the same bytes, for any number of threads.  The folder is written under a temporary name and
renamed when it is complete.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from recon4d.core import Camera, InputError
from recon4d.data.files import atomic_folder, read_json, write_json
from recon4d.data.video import write_video
from recon4d.synthetic.config import SynthesizeConfig
from recon4d.synthetic.creatures import CREATURE_NAMES, creature
from recon4d.synthetic.dataset_writer import (
    PlannedView,
    over_white,
    transforms_document,
    write_bones,
    write_view,
)
from recon4d.synthetic.gltf_subject import load_gltf
from recon4d.synthetic.ply import write_ply
from recon4d.synthetic.room import room
from recon4d.synthetic.subject import Subject, subject_of_creature
from recon4d.synthetic.texture import PatchTexture, bake
from recon4d.synthetic.trajectories import Lens, angular_speeds, hemisphere_cameras, train_cameras
from recon4d.synthetic.view import MeshState, SceneState, View, render_view

Progress = Callable[[str, int, int], None]

_FORMAT_VERSION = 1
_GENERATOR = "recon4d synthesize"
_TEXELS_PER_PIXEL = 1.1
_MARGIN = 1.04  # free space around the subject, as a factor on its size in the image
_HANDHELD_MARGIN = 1.15  # enough for the steps and the shaking of a hand at the usual field of view
_ROOM_SIZE = 1.5  # distance of the walls, as a factor on the distance of the cameras


@dataclass(frozen=True)
class Synthesized:
    """What `synthesize` made.

    Attributes:
        folder: where it lies.
        images: how many images, of all splits.
        angular_speed_degrees_per_second: mean speed of the training camera around the subject.
    """

    folder: Path
    images: int
    angular_speed_degrees_per_second: float


def load_subject(config: SynthesizeConfig) -> Subject:
    """The subject that the settings name."""
    if config.subject in CREATURE_NAMES:
        return subject_of_creature(creature(config.subject, config.detail))
    return load_gltf(Path(config.subject), config.action, config.hide, mottle=config.mottle)


def synthesize(config: SynthesizeConfig, out_dir: Path | str, *, progress: Progress | None = None) -> Synthesized:
    """Render a data set and its truth; `dataset_writer` lists the files.

    Args:
        config: what to make.
        out_dir: a folder that does not exist yet, or is empty, unless `config.overwrite`.
        progress: called with a stage's name, how many parts of it are done, and how many there are.

    Raises:
        InputError: for an unusable subject or folder.
        BackendError: when the ray caster is not installed.
    """
    out = Path(out_dir)
    _check_target(out, config.overwrite)
    tell = progress or (lambda stage, done, total: None)
    tell("subject", 0, 1)
    stage = _Stage(config, load_subject(config))
    tell("subject", 1, 1)
    with atomic_folder(out, may_replace=lambda _: True) as temporary:
        return stage.write(temporary, out, tell)


def _check_target(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite or not out.is_dir():
        raise InputError(
            str(out),
            expected="a new or empty folder",
            got="a folder with files in it" if out.is_dir() else "a file",
            fix="choose another place, or ask for overwriting",
        )
    # A slip of the hand must not remove somebody's folder.
    if not _is_ours(out):
        raise InputError(
            str(out),
            expected="a data set of recon4d synthesize to replace",
            got="a folder with other files",
            fix="choose another place, or empty the folder",
        )


def _is_ours(folder: Path) -> bool:
    try:
        return read_json(folder / "meta.json").get("generator") == _GENERATOR
    except InputError:
        return False


class _Stage:
    """A subject with its texture, surroundings and planned views."""

    def __init__(self, config: SynthesizeConfig, subject: Subject) -> None:
        self.config, self.subject = config, subject
        count = config.frames
        self.seconds = np.arange(count) / config.fps
        self.duration = float(self.seconds[-1])
        self.lens, low = self._frame_subject()
        pixel = 2 * self.lens.distance * np.tan(np.radians(config.fov_degrees) / 2) / config.height
        texel = float(pixel) / _TEXELS_PER_PIXEL
        self.texture: PatchTexture = bake(subject.rest, subject.faces, texel, subject.painter)
        self.background: MeshState | None = None
        if config.background == "room":
            half = _ROOM_SIZE * self.lens.distance
            # The walls are farther away than the subject, so their texels may be larger.
            self.background = room(self.lens.middle, low, half, 1.6 * texel, config.seed)
        self.plans, self.train = self._plan()

    def clip_time(self, seconds: float) -> float:
        """Time in the subject's clip that is shown at a time of the video."""
        share = self.config.plays * (seconds / self.duration if self.duration > 0 else 0.0)
        if self.subject.loops:
            # A whole number of plays ends on the state it began with; `% 1` alone would show that state's time as 0.
            return self.subject.duration * (share % 1.0 if share % 1.0 or share == 0 else 1.0)
        there_and_back = share % 2.0
        return self.subject.duration * (2.0 - there_and_back if there_and_back > 1 else there_and_back)

    def _frame_subject(self) -> tuple[Lens, float]:
        """A lens that sees the whole subject at all times, and the height of the lowest vertex."""
        config, used = self.config, np.unique(self.subject.faces)
        moments = np.linspace(0, self.duration, min(config.frames, 48))
        points = np.concatenate([self.subject.vertices_at(self.clip_time(float(t)))[used] for t in moments])
        middle = (points.min(0) + points.max(0)) / 2
        radius = float(np.linalg.norm(points - middle, axis=-1).max())
        tangent = np.tan(np.radians(config.fov_degrees) / 2) * min(1.0, config.width / config.height)
        margin = _HANDHELD_MARGIN if config.camera == "handheld" else _MARGIN
        distance = radius * margin / float(np.sin(np.arctan(tangent))) / config.zoom
        center = (float(middle[0]), float(middle[1]), float(middle[2]))
        lens = Lens(config.width, config.height, config.fov_degrees, center, max(distance, 1.2 * radius))
        return lens, float(points[:, 2].min())

    def _plan(self) -> tuple[list[PlannedView], list[list[Camera]]]:
        config = self.config
        generators = [np.random.default_rng([config.seed, k]) for k in range(3)]
        train = train_cameras(
            config.camera,
            self.lens,
            self.seconds,
            generators[0],
            turns=config.orbit_turns,
            elevation=config.elevation_degrees,
            count=config.rig_cameras,
        )
        plans = []
        for number, cameras in enumerate(train):
            for i, camera in enumerate(cameras):
                name = f"r_{i:04d}" if len(train) == 1 else f"c{number:02d}_r_{i:04d}"
                seconds = float(self.seconds[i])
                plans.append(PlannedView("train", name, camera, seconds, self.clip_time(seconds), i, number))
        for split, count, generator in (
            ("val", config.val_frames, generators[1]),
            ("test", config.test_frames, generators[2]),
        ):
            for i, camera in enumerate(hemisphere_cameras(self.lens, count, generator)):
                # Moments of training frames, so that each has a mesh as its truth.
                frame = round((i + 0.5) / count * (config.frames - 1))
                seconds = float(self.seconds[frame])
                number = len(train) + sum(plan.split != "train" for plan in plans)
                plans.append(PlannedView(split, f"r_{i:04d}", camera, seconds, self.clip_time(seconds), frame, number))
        return plans, train

    def state(self, clip_time: float) -> SceneState:
        """Everything at a time of the clip, ready for rays."""
        vertices = self.subject.vertices_at(clip_time)
        normals = self.subject.normals_of(vertices)
        return SceneState(MeshState(vertices, normals, self.subject.faces, self.texture), self.background)

    def render(self, plan: PlannedView) -> View:
        """One planned view, with the flow to the same camera's next frame when there is one."""
        following = None
        if plan.split == "train" and plan.frame is not None and plan.frame + 1 < self.config.frames:
            camera = self.train[plan.camera_number][plan.frame + 1]
            following = (self.state(self.clip_time(float(self.seconds[plan.frame + 1]))), camera)
        return render_view(self.state(plan.clip_time), plan.camera, following)

    def write(self, folder: Path, final: Path, tell: Progress) -> Synthesized:
        """Everything into `folder`, which exists."""
        opaque = self.background is not None
        splits = ("train", "val", "test")
        for name in ("", "masks/", "depth/", "normals/"):
            for split in splits:
                (folder / f"{name}{split}").mkdir(parents=True)
        (folder / "flow" / "train").mkdir(parents=True)
        (folder / "meshes").mkdir()
        films: dict[int, list[UInt8[np.ndarray, "h w 3"]]] = {k: [] for k in range(len(self.train))}

        def work(plan: PlannedView) -> UInt8[np.ndarray, "h w 3"] | None:
            view = self.render(plan)
            write_view(folder, plan, view, opaque)
            return over_white(view, opaque) if plan.split == "train" else None

        pool = ThreadPoolExecutor(self.config.threads or os.cpu_count() or 1)
        try:
            for done, (plan, image) in enumerate(zip(self.plans, pool.map(work, self.plans), strict=True)):
                if image is not None:
                    films[plan.camera_number].append(image)
                tell("views", done + 1, len(self.plans))
        finally:
            # After a failure or an interrupt the views that wait must not be rendered.
            pool.shutdown(cancel_futures=True)
        for index, film in films.items():
            write_video(folder / ("train.mp4" if index == 0 else f"train_{index}.mp4"), film, self.config.fps)
        for split in splits:
            chosen = [p for p in self.plans if p.split == split]
            write_json(folder / f"transforms_{split}.json", transforms_document(chosen, self.duration))
        self._write_meshes(folder, tell)
        speed = self._write_meta(folder)
        return Synthesized(final, len(self.plans), speed)

    def _write_meshes(self, folder: Path, tell: Progress) -> None:
        clip_times = np.array([self.clip_time(float(t)) for t in self.seconds])
        colors = self.subject.vertex_colors()
        for i, time in enumerate(clip_times):
            vertices = self.subject.vertices_at(float(time))
            write_ply(
                folder / "meshes" / f"frame_{i:04d}.ply",
                vertices,
                self.subject.faces,
                normals=self.subject.normals_of(vertices),
                colors=colors,
                uv=self.subject.uv,
            )
            tell("meshes", i + 1, len(clip_times))
        if self.subject.rig is not None:
            write_bones(folder / "bones.npz", self.subject.rig, clip_times, self.seconds)

    def _write_meta(self, folder: Path) -> float:
        speeds: Float[np.ndarray, "_"] = np.zeros(1)
        if len(self.seconds) > 1:
            speeds = angular_speeds(self.train[0], self.seconds, self.lens.middle)
        settings = asdict(self.config)
        # Neither changes what is made, and a path tells where it was made.
        settings = {k: v for k, v in settings.items() if k not in ("threads", "overwrite")}
        settings["subject"] = Path(self.config.subject).name
        meta = {
            "format_version": _FORMAT_VERSION,
            "generator": _GENERATOR,
            "seed": self.config.seed,
            "settings": settings,
            "subject": self.subject.source,
            "vertices": len(self.subject.rest),
            "faces": len(self.subject.faces),
            "frames": self.config.frames,
            "fps": self.config.fps,
            "duration_seconds": self.duration,
            "clip_seconds_per_second": self.subject.duration * self.config.plays / max(self.duration, 1e-9),
            "camera": self.config.camera,
            "camera_angular_speed_degrees_per_second": {"mean": float(speeds.mean()), "max": float(speeds.max())},
            "middle": list(self.lens.middle),
            "camera_distance": self.lens.distance,
            # What shows through transparent pixels: the videos are on white, as is the custom of this format.
            "background": [1.0, 1.0, 1.0] if self.background is None else None,
            "metres_per_unit": None,
            "mesh_times": self.seconds.tolist(),
            "world": "right-handed, +z up; scene units without a known size in metres",
            "conventions": {
                "transform_matrix": "world_from_camera, OpenGL axes: x right, y up, looking along -z",
                "pixels": "centres at +0.5",
                "depth": "npz, float32, camera-frame z at the pixel centre in scene units, 0 where nothing is",
                "normals": "npz, float32, unit, OpenCV camera axes (x right, y down, z forward), facing the camera",
                "flow": "npz, float32 pixels (x, y) to the same camera's next frame, and uint8 visible",
                "masks": "png, 8 bits, share of the pixel that the subject covers",
                "images": "display sRGB; RGBA with straight alpha without a background",
            },
        }
        write_json(folder / "meta.json", meta)
        return float(speeds.mean())
