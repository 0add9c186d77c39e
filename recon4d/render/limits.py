"""The limits of an image that a caller may set.  Their defaults live in `constants`."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from recon4d.core import InputError
from recon4d.render import constants


@dataclass(frozen=True)
class Limits:
    """Where drawing starts and stops.

    With `alpha_min` near 0, `alpha_max` near 1 and `min_transmittance` 0 every cut-off becomes too small to see, so
    that the image is smooth in its inputs: that is how finite-difference tests run the very same code.

    Attributes:
        near: depth of the near plane, scene units, > 0.
        alpha_min: least alpha that is blended, 0 < alpha_min < alpha_max.
        alpha_max: greatest alpha of one surfel in one pixel, <= 1.
        min_transmittance: a pixel whose transmittance is down to this is full, in [0, 1).

    Raises:
        InputError: when a limit is out of its range.
    """

    near: float = constants.NEAR
    alpha_min: float = constants.ALPHA_MIN
    alpha_max: float = constants.ALPHA_MAX
    min_transmittance: float = constants.MIN_TRANSMITTANCE

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise InputError(field.name, expected="a finite number", got=repr(value), fix=_default(field.name))
        if not self.near > 0:
            raise InputError("near", expected="a depth > 0", got=repr(self.near), fix=_default("near"))
        if not 0 < self.alpha_min < self.alpha_max <= 1:
            raise InputError(
                "alpha_min, alpha_max",
                expected="0 < alpha_min < alpha_max <= 1",
                got=f"alpha_min={self.alpha_min!r}, alpha_max={self.alpha_max!r}",
                fix=f"{_default('alpha_min')}; {_default('alpha_max')}",
            )
        if not 0 <= self.min_transmittance < 1:
            raise InputError(
                "min_transmittance",
                expected="a number in [0, 1)",
                got=repr(self.min_transmittance),
                fix=_default("min_transmittance"),
            )


def _default(name: str) -> str:
    return f"leave out {name} for its default, recon4d.render.constants.{name.upper()}"
