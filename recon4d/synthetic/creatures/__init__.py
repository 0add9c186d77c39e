"""The built-in creatures.  Each module makes one; `creature(name)` makes any of them, once per process."""

from __future__ import annotations

from functools import lru_cache

from recon4d.core import InputError
from recon4d.synthetic.creature import Creature
from recon4d.synthetic.creatures.biped import biped
from recon4d.synthetic.creatures.fish import fish
from recon4d.synthetic.creatures.jelly import jelly
from recon4d.synthetic.creatures.quadruped import quadruped

_MAKERS = {"quadruped": quadruped, "biped": biped, "fish": fish, "jelly": jelly}
CREATURE_NAMES: tuple[str, ...] = tuple(_MAKERS)


def creature(name: str, detail: float | int = 1.0) -> Creature:
    """The built-in creature of this name.

    Args:
        name: one of `CREATURE_NAMES`.
        detail: fineness of the mesh; the number of vertices grows with its square (1 gives about ten thousand).

    Raises:
        InputError: for an unknown name or a detail out of [0.2, 4].
    """
    if name not in _MAKERS:
        raise InputError(
            "creature", expected=f"one of {', '.join(CREATURE_NAMES)}", got=repr(name), fix="choose a name of the list"
        )
    if not 0.2 <= detail <= 4:
        raise InputError("detail", expected="a number from 0.2 to 4", got=repr(detail), fix="1 is a good choice")
    return _made(name, float(detail))


@lru_cache(maxsize=8)
def _made(name: str, detail: float) -> Creature:
    return _MAKERS[name](detail)
