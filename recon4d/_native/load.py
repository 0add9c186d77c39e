"""Import a compiled module, or say in one line why that is not possible.  Knows nothing about what is inside."""

from __future__ import annotations

import importlib


def why_not_loadable(name: str, *, needs: str) -> str:
    """Import the compiled module `name` and return an empty string, or the reason why it cannot be imported.

    Args:
        name: its full dotted name.
        needs: what the machine must have had at installation for the module to be built ("a C++ compiler").
    """
    short = name.rpartition(".")[2]
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            return f"{short} was not built: install recon4d again on a machine with {needs}"
        return _cannot_load(short, error)
    except Exception as error:
        # A module built for another machine or another C++ runtime fails in many ways (ImportError, OSError,
        # SystemError).  None of them may take the backends away that need no native code.
        return _cannot_load(short, error)
    return ""


def _cannot_load(short: str, error: Exception) -> str:
    return " ".join(f"{short} cannot be loaded: {type(error).__name__}: {error}".split())
