"""Smooth rigid motion over time: uniform cubic B-splines of poses.

Rotations use the cumulative form of Kim, Kim and Shin ("A general construction scheme for unit quaternion curves with
simple high order derivatives", 1995), translations the ordinary one, so that a pose is a point of SO(3) x R^3.  The
curve is twice continuously differentiable in time, moves with its control poses (turning all of them turns the curve),
stays put where they coincide and runs evenly where they are evenly spaced.  It passes near its control poses, not
through them.

Does not extrapolate: outside its domain the motion stands still.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from recon4d.core import _cubic_curve as curve
from recon4d.core import quaternion
from recon4d.core._spline_fit import fit_controls
from recon4d.core.errors import InputError

# More controls than this mean a step in the wrong unit, and a fit would not end in reasonable time.
_MAX_FITTED_CONTROLS = 2048


@dataclass(frozen=True, eq=False)
class SE3Spline:
    """A motion of one rigid frame, or of a batch of frames that share their times; differentiable in its control poses.

    With K control poses the domain is [start, end], end = start + step * (K - 3); control i has most influence at
    start + step * (i - 1), so the first and the last control lie outside the domain.

    Attributes:
        rotations_wxyz: [..., K, 4] control rotations, of any length but zero, K >= 4.  The curve takes the shorter way
            between neighbours, so it jumps as one passes through half a turn from the next.
        translations: [..., K, 3] control translations, scene units.
        start: first time of the domain in seconds.
        step: seconds between control poses, > 0.

    Raises:
        InputError: when shapes or types do not match, K < 4, or the times are no finite numbers.
    """

    rotations_wxyz: Float[Tensor, "*batch k 4"]
    translations: Float[Tensor, "*batch k 3"]
    start: float
    step: float

    def __post_init__(self) -> None:
        rotations, translations = self.rotations_wxyz, self.translations
        if (
            rotations.ndim < 2
            or rotations.shape[-1] != 4
            or rotations.shape[-2] < curve.ORDER
            or translations.shape != (*rotations.shape[:-1], 3)
            or not rotations.is_floating_point()
            or (translations.dtype, translations.device) != (rotations.dtype, rotations.device)
        ):
            raise InputError(
                "SE3Spline control poses",
                expected="rotations [..., K, 4] and translations [..., K, 3] of one floating type, K >= 4",
                got=f"{_describe(rotations)} and {_describe(translations)}",
                fix="pass one translation per rotation, and at least 4 of each",
            )
        if not (math.isfinite(self.start) and math.isfinite(self.step) and self.step > 0):
            raise InputError(
                "SE3Spline times",
                expected="a finite start and a step > 0, in seconds",
                got=f"start={self.start!r}, step={self.step!r}",
                fix="check the frame times of the clip",
            )

    @staticmethod
    def constant(
        rotation_wxyz: Float[Tensor, "*batch 4"],
        translation: Float[Tensor, "*batch 3"],
        *,
        start: float = 0.0,
        step: float = 1.0,
        count: int = curve.ORDER,
    ) -> SE3Spline:
        """A motion that stands still: `count` equal control poses."""
        return SE3Spline(
            rotation_wxyz[..., None, :].repeat_interleave(count, -2),
            translation[..., None, :].repeat_interleave(count, -2),
            start,
            step,
        )

    @staticmethod
    def fit(
        times: Float[Tensor, " t"],
        rotations_wxyz: Float[Tensor, "*batch t 4"],
        translations: Float[Tensor, "*batch t 3"],
        *,
        step: float,
    ) -> SE3Spline:
        """The spline nearest to given poses (least squares), whose domain starts at the first and covers the last time.

        Controls that the poses leave undetermined continue the motion evenly.  Works in float64 inside; the result has
        the type of the poses and carries no gradients.

        Args:
            times: [T] seconds, in any order, T >= 1.
            rotations_wxyz: [..., T, 4] rotations, of any length but zero.
            translations: [..., T, 3] scene units.
            step: seconds between control poses, > 0.  The smaller, the closer the fit and the less it smooths.  The
                motion should turn by clearly less than half a turn per step.

        Raises:
            InputError: when shapes do not match, a value is not finite, a rotation is zero, or the step is unusable.
        """
        _check_poses(times, rotations_wxyz, translations)
        exact_times = times.detach().double()
        start = float(exact_times.min())
        span = float(exact_times.max()) - start
        # The small allowance keeps rounding in the times from adding a segment.
        segments = max(1.0, math.ceil(span / step - 1e-9)) if math.isfinite(step) and step > 0 else math.inf
        count = segments + curve.ORDER - 1
        if count > _MAX_FITTED_CONTROLS:
            raise InputError(
                "SE3Spline.fit: step",
                expected=f"seconds > 0 that give the {span:g} s of the poses at most {_MAX_FITTED_CONTROLS} controls",
                got=repr(step),
                fix="a few frame times per step is a common choice",
            )
        fitted_rotations, fitted_translations = fit_controls(
            exact_times.to(rotations_wxyz.device),
            quaternion.normalize(rotations_wxyz.detach().double()),
            translations.detach().double(),
            start=start,
            step=step,
            count=int(count),
        )
        dtype = rotations_wxyz.dtype
        return SE3Spline(fitted_rotations.to(dtype), fitted_translations.to(dtype), start, step)

    @property
    def count(self) -> int:
        """Number of control poses K."""
        return self.rotations_wxyz.shape[-2]

    @property
    def end(self) -> float:
        """Last time of the domain in seconds."""
        return self.start + self.step * (self.count - curve.ORDER + 1)

    def at(self, times: Float[Tensor, " t"]) -> tuple[Float[Tensor, "*batch t 4"], Float[Tensor, "*batch t 3"]]:
        """Rotations [..., T, 4] (unit quaternions wxyz, of either sign) and translations [..., T, 3].

        Args:
            times: [T] seconds, clamped to the domain; may be of another floating type than the controls.

        Raises:
            InputError: when a time is not finite.
        """
        first, u = self._locate(times)
        weights = curve.cubic_weights(u)
        return (
            curve.rotation_at(curve.active_controls(self.rotations_wxyz, first), weights),
            curve.translation_at(curve.active_controls(self.translations, first), weights),
        )

    def velocity_at(
        self, times: Float[Tensor, " t"]
    ) -> tuple[Float[Tensor, "*batch t 3"], Float[Tensor, "*batch t 3"]]:
        """Angular velocities [..., T, 3] in radians per second and velocities [..., T, 3] in scene units per second.

        Both are expressed in the frame that the poses lead to (the world, for a world_from_object motion): to first
        order R(t + dt) = exp(dt * angular) R(t).  Zero outside the domain, where the motion stands still.

        Raises:
            InputError: when a time is not finite.
        """
        first, u = self._locate(times)
        weights, rates = curve.cubic_weights(u), curve.cubic_weight_rates(u)
        angular = curve.angular_velocity_at(curve.active_controls(self.rotations_wxyz, first), weights, rates)
        linear = curve.translation_at(curve.active_controls(self.translations, first), rates)
        moving = ((times >= self.start) & (times <= self.end)).to(u.device)[:, None] / self.step
        return angular * moving.to(u.dtype), linear * moving.to(u.dtype)

    def to(self, *args: object, **kwargs: object) -> SE3Spline:
        """As `torch.Tensor.to`, applied to the control poses."""
        return SE3Spline(
            self.rotations_wxyz.to(*args, **kwargs),  # type: ignore[call-overload]
            self.translations.to(*args, **kwargs),  # type: ignore[call-overload]
            self.start,
            self.step,
        )

    def _locate(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Segments and fractions of times, on the device and in the type of the controls."""
        _check_finite("times", times)
        first, u = curve.locate(times, self.start, self.step, self.count)
        return first.to(self.translations.device), u.to(self.translations)


def _check_poses(times: Tensor, rotations_wxyz: Tensor, translations: Tensor) -> None:
    shape = rotations_wxyz.shape
    if (
        times.ndim != 1
        or len(times) < 1
        or shape[-2:] != (len(times), 4)
        or translations.shape != (*shape[:-1], 3)
        or (translations.dtype, translations.device) != (rotations_wxyz.dtype, rotations_wxyz.device)
    ):
        raise InputError(
            "SE3Spline.fit: poses",
            expected="times [T], rotations [..., T, 4] and translations [..., T, 3] of one type, T >= 1",
            got=f"{_describe(times)}, {_describe(rotations_wxyz)} and {_describe(translations)}",
            fix="pass one rotation and one translation per time",
        )
    _check_finite("times", times)
    _check_finite("rotations", rotations_wxyz)
    _check_finite("translations", translations)
    zero = rotations_wxyz.abs().amax(-1) <= quaternion.ZERO_LENGTH
    if bool(zero.any()):
        raise InputError(
            "SE3Spline.fit: rotations",
            expected="quaternions other than zero",
            got=f"{int(zero.sum())} zero quaternions, the first at index {zero.nonzero()[0].tolist()}",
            fix="leave out the times without a known rotation",
        )


def _check_finite(name: str, values: Tensor) -> None:
    finite = values.detach().isfinite()
    if not bool(finite.all()):
        raise InputError(
            f"SE3Spline: {name}",
            expected="finite numbers",
            got=f"{int((~finite).sum())} that are not, the first at index {(~finite).nonzero()[0].tolist()}",
            fix="leave out the times without a known pose",
        )


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
