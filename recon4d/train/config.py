"""Settings of a fit: one plain record, and three presets of it.

They are those for one camera that moves steadily; `suited.py` makes motion freer where cameras jump.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from recon4d.core import InputError


@dataclass(frozen=True)
class Rates:
    """Step sizes of Adam at the start; those of places and motion fall to `FitConfig.final_rate` of it.

    Attributes:
        centers, scales, opacities, rotations, colors, skinning: of the surfels; centres in sizes of the subject,
            `scales` of their logarithms, `opacities` of their logits, `skinning` of the correction to the logits.
        bone_radii: of the logarithms of the bones' radii.
        motion_rotations, motion_translations: of the control poses of bones and root; translations in sizes of the
            subject.
        camera_rotations, camera_translations: of the corrections of cameras that are not trusted, likewise.
        focal: of the logarithm of their focal length.
        residual: of displacements that bones cannot make, in sizes of the subject.
    """

    centers: float = 1.2e-3
    scales: float = 5e-3
    opacities: float = 3e-2
    rotations: float = 2e-3
    colors: float = 5e-3
    skinning: float = 1e-2
    bone_radii: float = 2e-3
    motion_rotations: float = 2e-3
    motion_translations: float = 1e-3
    camera_rotations: float = 2e-4
    camera_translations: float = 2e-4
    focal: float = 1e-4
    residual: float = 2e-4


@dataclass(frozen=True)
class Weights:
    """How much each loss of `recon4d.losses` counts; 0 leaves it out.

    Attributes:
        dssim: share of structural dissimilarity in the colour loss, the rest is L1.
        mask: coverage against the mask.
        alone: coverage of objects drawn without the background, where no mask is.
        normal: normal consistency in the warped state, after `FitConfig.surface_from`.
        distortion: spread along rays, after `FitConfig.surface_from`; 0 in the presets, since it was measured to gain
            nothing (docs/benchmarks.md).
        rigidity: as-rigid-as-possible between neighbouring bones.
        acceleration: of the control poses of bones and root.
        entropy: of opacities, after `FitConfig.surface_from`.
        scale: excess over `FitConfig.longest_scale`.
        anisotropy: excess over `FitConfig.most_anisotropy`.
        rank: number of modes of the bones' motion, in sizes of the subject.
        smoothness: neighbouring surfels against one smooth surface, after `FitConfig.surface_from`.
        tracks: tracked against predicted motion of pixels, in percent of the image.
        depth: rendered against given inverse depth whose units are known, in standard deviations of each frame's.
        relative_depth: likewise against what tells only what is nearer, and leaves open how deep that is.
        residual: mean square of the displacements that bones cannot make, in sizes of the subject.
        cameras: size and roughness of the corrections of cameras.
    """

    dssim: float = 0.2
    mask: float = 0.1
    alone: float = 0.05
    normal: float = 0.3
    distortion: float = 0.0
    rigidity: float = 0.3
    acceleration: float = 1.0
    entropy: float = 0.002
    scale: float = 0.01
    anisotropy: float = 0.01
    rank: float = 0.01
    smoothness: float = 0.0
    tracks: float = 0.02
    depth: float = 0.5
    relative_depth: float = 0.1
    cameras: float = 10.0
    residual: float = 10.0


@dataclass(frozen=True)
class FitConfig:
    """Settings of `fit`; fractions are of `iterations`.

    Attributes:
        iterations: optimiser steps, one view each.
        surfels: at most so many.
        initial_surfels: so many on the hull.
        initial_opacity: of these.
        bones: at most so many; half as many again where cameras jump, see `suited.py`.
        bones_at_first: so many before the first ones are added.
        bone_growth: moments at which bones are added where the images ask for them.
        background_surfels: at most so many in the background.
        sh_degree: of the colours' spherical harmonics, 0 to 3.
        levels: (fraction from which on, factor by which images are made smaller), coarse to fine.
        warm_up: until when shapes wait and motion alone is learned, from the canonical moment outwards in time. Only
            where the first shape is that of one moment (inflated): a hull, carved from all moments, needs none.
        scale_settled: moments at which the size of moving objects is settled, see `scale.py`.
        cameras_from: from when on cameras that are not trusted are corrected.
        tracks_every: every so many steps tracks are compared, before `tracks_until` every second step.
        tracks_until: see there.
        tracks_delta: of their Huber function, percent of the image's long side.
        residual_nodes: of a grid of displacements that take what bones cannot, along its longest side; 0: none.
        residual_from: from when on these are learned.
        blend: of bone transforms: linear, as glTF does, or dual_quaternion, which keeps the volume of twisted joints.
        whole_image_every: every so many steps the whole image is compared, otherwise the subject's surroundings.
        frames_per_control: at most so many fitted frames between control poses of the bones.
        seconds_per_control: at most so long between them, but never less than two frames.
        frames_per_root_control: the same of the root.
        hull_voxels: of the carving grid along its longest side.
        hull_window: share of the frames, around the canonical time, that may not contradict the hull.
        density_every: steps between relocations; they happen from `density_from` to `density_until`.
        density_growth: most growth of the number of surfels at once, as a factor.
        dead_opacity: surfels below are dropped.
        unseen_every: every so many relocations surfels that the images hardly see are dropped, from `surface_from` on.
        unseen_pixels: the most that such a surfel gives to any image, in pixels.
        surface_from: from when on surface losses count.
        refine_from: from when on colours have a branch of their own (1: never); not before relocations end.
        longest_scale: bound on a surfel's standard deviation, in sizes of the subject.
        most_anisotropy: bound on the ratio of a surfel's standard deviations.
        final_rate: factor on the step sizes of places and motion at the end.
        only_drawn: on CUDA, move only the surfels that a step has drawn: less work where many are out of view, but
            slower learning of what few images see, at the same rates.
        rates, weights: see there.
        seed: of everything random.
        device: cpu, cuda or cuda:N.
        checkpoint_seconds: least time between checkpoints.
        snapshot_every: steps between snapshots.
    """

    iterations: int = 6000
    surfels: int = 30_000
    initial_surfels: int = 6000
    initial_opacity: float = 0.9
    bones: int = 36
    bones_at_first: int = 24
    bone_growth: tuple[float, ...] = (0.25, 0.4)
    background_surfels: int = 30_000
    sh_degree: int = 1
    levels: tuple[tuple[float, int], ...] = ((0.0, 2), (0.3, 1))
    warm_up: float = 0.2
    scale_settled: tuple[float, ...] = (0.25, 0.4, 0.55, 0.7)
    cameras_from: float = 0.2
    tracks_every: int = 4
    tracks_until: float = 0.4
    tracks_delta: float = 0.3
    residual_nodes: int = 0
    residual_from: float = 0.5
    blend: Literal["linear", "dual_quaternion"] = "linear"
    whole_image_every: int = 8
    frames_per_control: float = 4.0
    seconds_per_control: float = 0.14
    frames_per_root_control: float = 20.0
    hull_voxels: int = 128
    hull_window: float = 0.15
    density_every: int = 100
    density_from: float = 0.18
    density_until: float = 0.75
    density_growth: float = 1.15
    dead_opacity: float = 0.02
    unseen_every: int = 4
    unseen_pixels: float = 0.1
    surface_from: float = 0.3
    refine_from: float = 0.8
    longest_scale: float = 0.03
    most_anisotropy: float = 6.0
    final_rate: float = 0.05
    only_drawn: bool = False
    rates: Rates = Rates()
    weights: Weights = Weights()
    seed: int = 0
    device: str = "cpu"
    checkpoint_seconds: float = 25.0
    snapshot_every: int = 100

    def __post_init__(self) -> None:
        counts = [
            *("iterations", "surfels", "initial_surfels", "background_surfels", "bones", "bones_at_first"),
            *("density_every", "snapshot_every", "whole_image_every", "tracks_every", "unseen_every"),
        ]
        least = dict.fromkeys(counts, 1) | {"hull_voxels": 16, "sh_degree": 0, "seed": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise _wrong(name, f"a whole number >= {low}", value)
        if self.seed >= 2**31:
            raise _wrong("seed", "a whole number below 2^31", self.seed)
        if self.sh_degree > 3:
            raise _wrong("sh_degree", "0, 1, 2 or 3", self.sh_degree)
        if self.initial_surfels > self.surfels:
            raise _wrong("initial_surfels", f"at most surfels ({self.surfels})", self.initial_surfels)
        for name in (
            "hull_window",
            "density_from",
            "density_until",
            "surface_from",
            "refine_from",
            "residual_from",
            "warm_up",
            "cameras_from",
            "tracks_until",
            "dead_opacity",
            "final_rate",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise _wrong(name, "a number in [0, 1]", getattr(self, name))
        if self.residual_nodes != 0 and not 2 <= self.residual_nodes <= 48:
            raise _wrong("residual_nodes", "0, or from 2 to 48", self.residual_nodes)
        if not 0 < self.initial_opacity < 1:
            raise _wrong("initial_opacity", "a number in (0, 1)", self.initial_opacity)
        if self.refine_from < self.density_until:
            raise _wrong("refine_from", f"at least density_until ({self.density_until})", self.refine_from)
        if self.blend not in ("linear", "dual_quaternion"):
            raise _wrong("blend", "linear or dual_quaternion", self.blend)
        if self.bones_at_first > self.bones:
            raise _wrong("bones_at_first", f"at most bones ({self.bones})", self.bones_at_first)
        for name in (
            "frames_per_control",
            "seconds_per_control",
            "frames_per_root_control",
            "longest_scale",
            "tracks_delta",
        ):
            if not 0 < getattr(self, name) < float("inf"):
                raise _wrong(name, "a number > 0", getattr(self, name))
        for name in ("density_growth", "most_anisotropy"):
            if not 1 <= getattr(self, name) < float("inf"):
                raise _wrong(name, "a number >= 1", getattr(self, name))
        starts = [start for start, _ in self.levels]
        if not starts or starts[0] != 0 or starts != sorted(starts) or any(factor < 1 for _, factor in self.levels):
            raise _wrong("levels", "rising fractions from 0 on, with factors >= 1", self.levels)
        if not self.checkpoint_seconds >= 0:
            raise _wrong("checkpoint_seconds", "a number >= 0", self.checkpoint_seconds)

    def after(self, fraction: float) -> int:
        """The step at which a fraction of the fit is done."""
        return round(fraction * self.iterations)

    def level_at(self, step: int) -> int:
        """The factor by which images are made smaller at a step."""
        return [factor for start, factor in self.levels if step >= self.after(start)][-1]


PRESETS: dict[str, FitConfig] = {
    "draft": FitConfig(
        iterations=2000,
        surfels=12_000,
        initial_surfels=5000,
        bones=24,
        bones_at_first=18,
        bone_growth=(0.3,),
        levels=((0.0, 2), (0.6, 1)),
        hull_voxels=112,
        refine_from=1.0,
    ),
    "standard": FitConfig(),
    "high": FitConfig(iterations=15_000, surfels=60_000, bones=48, bones_at_first=28, sh_degree=2, hull_voxels=160),
}
"""draft: a first look; standard: the usual fit; high: as good as it gets, several times slower."""


def preset(name: str, **changes: Any) -> FitConfig:
    """The settings of that name, with some changed.

    Raises:
        InputError: no preset of that name, no setting of a name, or a value out of range.
    """
    if name not in PRESETS:
        raise InputError("preset", expected=" or ".join(PRESETS), got=repr(name), fix="choose one of these")
    unknown = sorted(set(changes) - set(FitConfig.__dataclass_fields__))
    if unknown:
        raise InputError(
            "preset", expected="names of FitConfig", got=", ".join(unknown), fix="check the spelling of the settings"
        )
    return replace(PRESETS[name], **changes)


def _wrong(name: str, expected: str, value: object) -> InputError:
    return InputError(f"FitConfig.{name}", expected=expected, got=repr(value), fix=f"change {name}")
