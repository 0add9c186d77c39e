"""How the values of surfels are spread: for choosing a range of them.

Does NOT select or show anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from recon4d.core import InputError
from recon4d.editors.keys import Vector
from recon4d.editors.selections.properties import Property, values_of
from recon4d.editors.state import State

BINS = 32
_BARS = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"


@dataclass(frozen=True, eq=False)
class Histogram:
    """The values of all surfels that can be selected.

    Attributes:
        low: the least.
        high: the greatest.
        counts: surfels in equal stretches between.
    """

    low: float
    high: float
    counts: Int64[np.ndarray, " b"]

    def bars(self) -> str:
        """A line of characters as high as the counts; what is there is seen, however little."""
        most = max(int(self.counts.max()), 1)
        return "".join(_BARS[int(np.ceil(count / most * (len(_BARS) - 1)))] for count in self.counts)


def histogram(state: State, value: Property, time: float, direction: Vector) -> Histogram:
    """The histogram of a property at a moment (seconds); `direction` is for normals.

    Raises:
        InputError: there are no surfels that could be selected.
    """
    parts = [values_of(layer, value, state, time, direction) for layer in state.selectable if len(layer.field)]
    if not parts:
        raise InputError("values", expected="surfels", got="none that can be selected", fix="unlock or show a layer")
    values = np.concatenate([part.detach().double().numpy() for part in parts])
    low, high = float(values.min()), float(values.max())
    counts, _ = np.histogram(values, bins=BINS, range=(low, high if high > low else low + 1e-9))
    return Histogram(low, high, counts)
