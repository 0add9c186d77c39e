"""A scene against a data set, by a named protocol.

Renders the scene with the data set's cameras at the data set's times and scores what both have.  What the data set has
no truth for stays None, and a note says why.  The scene is never changed, and not aligned frame by frame unless that is
asked for (`scene_moments`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped

from recon4d.core import Camera, InputError, Surfels
from recon4d.data import dataset as data_sets
from recon4d.data.view import View
from recon4d.evaluate.image_scores import ImageScores
from recon4d.evaluate.lpips import Lpips
from recon4d.evaluate.protocols import Color, Protocol, Settings, background_color, color_name, protocol_named
from recon4d.evaluate.result import Evaluation
from recon4d.evaluate.scene_cameras import SceneFrame, camera_at, locate
from recon4d.evaluate.scene_moments import locate_moments
from recon4d.evaluate.scene_shape import SubjectTruth, geometry_scores, motion_scores, own_meshes, spread, subject_at
from recon4d.evaluate.temporal import id_persistence
from recon4d.render import rasterize
from recon4d.scene import Scene, load

TRAINED_EVERY = 4
_PERSISTENCE_SIDE = 200  # pixels; contributions need no more


def evaluate_scene(
    scene: str | os.PathLike[str] | Scene,
    against: str | os.PathLike[str] | data_sets.Dataset,
    *,
    protocol: str = "all",
    settings: Settings | None = None,
) -> Evaluation:
    """Scores of a scene against a data set.

    Args:
        scene: an .r4d folder, or a scene in memory.
        against: a data set's folder or video, or a data set in memory.
        protocol: a name of `PROTOCOLS`.
        settings: how to measure; the defaults where None.

    Raises:
        InputError: unknown protocol, unreadable scene or data set, or a data set without what the protocol needs.
    """
    plan, chosen = protocol_named(protocol), settings or Settings()
    loaded = scene if isinstance(scene, Scene) else load(scene)
    dataset = against if isinstance(against, data_sets.Dataset) else _read(against)
    if not loaded.layers:
        raise InputError("scene", expected="at least one layer", got="none", fix="evaluate a scene with surfels")
    filmed = dataset.split("train") or dataset.views
    if chosen.align == "moment":
        frame = locate_moments(loaded, dataset, filmed)
    else:
        frame = locate(loaded, filmed, align=chosen.align == "auto")
    notes = [frame.note]
    last = float(loaded.frame_times[-1])
    if dataset.times[-1] > last + 1e-3 + 0.5 * last / max(len(loaded.frame_times) - 1, 1):
        notes.append(
            f"The data set goes on to {dataset.times[-1]:.3f} s, the scene ends at {last:.3f} s: it stands still there."
        )
    views = _views(plan, dataset, notes)
    result = Evaluation(
        protocol=plan.name,
        camera_rotation_error_deg=None if frame.errors is None else frame.errors.rotation_deg,
        camera_translation_error_percent=None if frame.errors is None else frame.errors.translation_percent,
    )
    if views:
        result = _image_scores(result, loaded, dataset, views, frame, plan, chosen, notes)
    if plan.geometry or plan.tracks:
        result = result.with_scores(**_shape_scores(loaded, dataset, frame, plan, chosen, notes))
    if plan.stability and views:
        result = result.with_scores(id_persistence=_persistence(loaded, _camera_of(views[0], loaded, frame), chosen))
    return Evaluation(**(vars(result) | {"notes": tuple(notes)}))


def _read(path: str | os.PathLike[str]) -> data_sets.Dataset:
    from recon4d.data import read_dataset

    return read_dataset(Path(path))


def _views(plan: Protocol, dataset: data_sets.Dataset, notes: list[str]) -> list[View]:
    """The views that a protocol scores, in order of time; a note says which they are."""
    if plan.views == "none":
        return []
    if plan.views != "between":
        for split in ("test",) if plan.views == "test" else ("test", "val"):
            if dataset.split(split):
                notes.append(f"Images: the {split} split.")
                return list(dataset.split(split))
        if plan.views == "test":
            raise InputError(
                str(dataset.root),
                expected=f"a test split for the protocol {plan.name!r}",
                got=", ".join(dataset.splits) + " only",
                fix="use the protocol 'every4', or give a data set with a test split",
            )
    by_camera: dict[str, list[View]] = {}
    for view in dataset.split("train") or dataset.views:
        by_camera.setdefault(view.camera_id, []).append(view)
    between = [view for known in by_camera.values() for i, view in enumerate(known) if i % TRAINED_EVERY]
    if not between:
        raise InputError(
            str(dataset.root),
            expected="at least two frames of one camera",
            got="one of each",
            fix="give the whole video",
        )
    notes.append(
        f"Images: the training frames between every {TRAINED_EVERY}th; held out only if the scene was fitted to every "
        f"{TRAINED_EVERY}th frame."
    )
    return sorted(between, key=lambda view: (view.time, view.camera_id))


def _camera_of(view: View, scene: Scene, frame: SceneFrame) -> Camera:
    """The view's camera in the scene's frame: the data set's, else the scene's own at that time."""
    return camera_at(scene, view.time) if view.camera is None else frame.scene_camera(view.camera, view.time)


def _image_scores(
    result: Evaluation,
    scene: Scene,
    dataset: data_sets.Dataset,
    views: Sequence[View],
    frame: SceneFrame,
    plan: Protocol,
    settings: Settings,
    notes: list[str],
) -> Evaluation:
    color = background_color(settings.background, dataset.background)
    alone = all(layer.kind != "background" for layer in scene.layers)
    network = Lpips.load(settings.lpips) if settings.lpips else Lpips.from_environment()
    scores = ImageScores(
        lpips=network,
        worst=settings.worst,
        whole=plan.whole,
        masked=plan.masked,
        pixels_per_degree=settings.pixels_per_degree,
    )
    opaque, cut_out = True, False
    for view in views:
        transparent = view.load_image().shape[2] == 4
        reference, mask, valid = view.load_rgb(color), view.load_mask(), view.load_valid()
        if alone and not transparent and mask is not None:
            # Only the subject was reconstructed: what is round it in the truth is no error of the scene.
            reference = reference * mask[..., None] + np.array(color, np.float32) * (1 - mask[..., None])
            cut_out = True
        opaque &= not transparent and not (alone and mask is not None)
        region = _region(mask, valid)
        height, width = reference.shape[:2]
        size = _scaled(width, height, settings.max_side)
        reference = _resize(reference, size)
        region = None if region is None else _resize(region[..., None], size)[..., 0]
        # Drawn at full size and averaged like the truth: drawn small, the rasterizer's low pass would swell outlines.
        camera = _camera_of(view, scene, frame).resized(width, height)
        image = _resize(_render(scene, camera, view.time, color, settings), size)
        scores.add(view.name, image, np.clip(reference, 0, 1), mask=region, time=view.time, camera=view.camera_id)
    if cut_out:
        notes.append("The scene has no background: the truth was cut out by its masks and laid on the same colour.")
    if plan.masked and all(score.psnr_masked is None for score in scores.frames):
        if not plan.whole:
            raise InputError(
                str(dataset.root),
                expected=f"masks or alpha for the protocol {plan.name!r}",
                got="neither, or masks with nothing inside",
                fix="use the protocol 'dnerf' or 'every4'",
            )
        notes.append("No masks: the masked scores do not apply.")
    if network is None and plan.whole:
        notes.append("LPIPS was left out: no weights were given.")
    if settings.max_side is not None:
        notes.append(f"Images were scaled down to at most {settings.max_side} pixels a side.")
    summary = {
        "background": "images" if opaque else color_name(color),
        "resolution": scores.resolution,
        "n_images": len(scores.frames),
        "frames": tuple(scores.frames),
        "worst": tuple(scores.worst),
        "flicker": scores.flicker.value if plan.stability else None,
    }
    return Evaluation(**(vars(result) | scores.means() | summary))


def _region(
    mask: Float[np.ndarray, "h w"] | None, valid: Shaped[np.ndarray, "h w"] | None
) -> Float[np.ndarray, "h w"] | None:
    """Where masked scores look: the subject, where it may be scored; either alone where the other is missing."""
    if mask is None:
        return None if valid is None else valid.astype(np.float32)
    return mask if valid is None else mask * valid


def _scaled(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    factor = 1.0 if max_side is None else min(1.0, max_side / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def _resize(values: Float[np.ndarray, "h w c"], size: tuple[int, int]) -> Float[np.ndarray, "u v c"]:
    """Averaged down to (width, height)."""
    if (values.shape[1], values.shape[0]) == size:
        return values
    tensor = torch.from_numpy(values).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(tensor, size=size[::-1], mode="area")
    return small[0].permute(1, 2, 0).numpy()


def _on_device(surfels: Surfels, settings: Settings) -> Surfels:
    """The surfels where the backend wants them: scenes are loaded to the CPU."""
    return surfels.to("cuda") if settings.backend == "cuda" else surfels


def _render(scene: Scene, camera: Camera, time: float, color: Color, settings: Settings) -> Float[np.ndarray, "h w 3"]:
    """The scene as the camera sees it at a time, clipped to [0, 1]."""
    with torch.no_grad():
        surfels = _on_device(scene.appearance_at(time), settings)
        output = rasterize(
            surfels,
            camera.to(surfels.centers),
            background=torch.tensor(color).to(surfels.centers),
            backend=settings.backend,
        )
    return output.color.clamp(0, 1).cpu().numpy()


def _shape_scores(
    scene: Scene,
    dataset: data_sets.Dataset,
    frame: SceneFrame,
    plan: Protocol,
    settings: Settings,
    notes: list[str],
) -> dict[str, float | None]:
    """Geometry and tracks where there are true meshes; a protocol that is only about these insists on them."""
    truth = SubjectTruth(dataset, settings.geometry_frames)
    if not truth.meshes:
        if plan.views == "none":
            raise InputError(
                str(dataset.root),
                expected=f"true meshes for the protocol {plan.name!r}",
                got="no folder meshes/",
                fix="use 'all'",
            )
        notes.append("No true meshes: geometry and tracks were left out.")
        return {}
    notes.append(
        f"Geometry and tracks: {len(truth.meshes)} of {truth.total} times; 100 % is {truth.diagonal:.4g} units."
    )
    states = [subject_at(scene, time, frame.similarity(time)) for time in truth.times]
    scores: dict[str, float | None] = {}
    if plan.geometry:
        meshes = own_meshes(settings.meshes, truth, frame) if settings.meshes is not None else None
        scores |= geometry_scores(states, truth, meshes, settings)
    if plan.tracks:
        motion = motion_scores(states, truth, settings)
        if not motion:
            notes.append("Points could not be followed: one time only, a changing topology, or nothing opaque.")
        scores |= motion
    return scores


def _persistence(scene: Scene, camera: Camera, settings: Settings) -> float | None:
    """`id_persistence` over the scene's frames seen by one camera that stands still; None below two to see."""
    small = camera.resized(*_scaled(camera.width, camera.height, _PERSISTENCE_SIDE))
    ids, contributions = [], []
    for index in spread(len(scene.frame_times), settings.geometry_frames):
        surfels = _on_device(scene.at(float(scene.frame_times[index])), settings)
        weight = torch.ones_like(surfels.opacities[:, None]).requires_grad_()
        # The image is linear in the colours, so the gradient of its sum is each surfel's sum of blending weights.
        plain = surfels.replace(sh=None, features=weight)
        rasterize(plain, small.to(surfels.centers), backend=settings.backend).color.sum().backward()
        assert weight.grad is not None
        seen = weight.grad[:, 0].double().cpu().numpy()
        if seen.sum() > 0:
            ids.append(_ids(scene))
            contributions.append(np.maximum(seen, 0))
    return id_persistence(ids, contributions) if len(ids) > 1 else None


def _ids(scene: Scene) -> Shaped[np.ndarray, " n"]:
    """One number for each (layer, surfel id), the same at all times."""
    pairs = [np.stack([np.full(len(x.field), i), x.field.ids.cpu().numpy()], -1) for i, x in enumerate(scene.layers)]
    return np.unique(np.concatenate(pairs), axis=0, return_inverse=True)[1].reshape(-1)
