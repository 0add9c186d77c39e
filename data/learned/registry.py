"""What learned models can be used here, and if not, why not.

Does NOT load anything, and looks at no network.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass

from recon4d.core import InputError
from recon4d.data.learned.weights import ADAPTERS, Adapter, open_weights


@dataclass(frozen=True)
class Availability:
    """One adapter, and whether it can be used.

    Attributes:
        adapter: what it is.
        usable: the package that runs it is installed; weights are still the user's to give.
        reason: why, in a sentence.
    """

    adapter: Adapter
    usable: bool
    reason: str


def available() -> tuple[Availability, ...]:
    """All adapters, in the order of their names, and whether this installation can run them."""
    if importlib.util.find_spec("transformers") is None:
        reason, usable = "the transformers package is not installed: pip install 'recon4d[learned]'", False
    else:
        reason, usable = f"transformers {importlib.metadata.version('transformers')} is installed", True
    return tuple(Availability(ADAPTERS[name], usable, reason) for name in sorted(ADAPTERS))


def why_not(spec: str) -> str | None:
    """The line that says why a specification such as `sam2:FOLDER` cannot be used; None where it can."""
    try:
        open_weights(spec)
    except InputError as error:
        return str(error)
    return None
