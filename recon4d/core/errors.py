"""Errors that a person can act on: what went wrong, what was expected, what came instead, and how to mend it.

Every error that recon4d raises on purpose is a `Recon4dError`.  The command line prints its text as one line and
exits with code 2; anything else that escapes is a bug and shows a traceback.
"""

from __future__ import annotations


class Recon4dError(Exception):
    """Base of all deliberate errors.

    Args:
        what: the thing that is wrong, by the name the caller knows it under ("scales", "scene.json: format_version").
        expected: what would have been right.
        got: what was found instead, short enough for one line.
        fix: what the caller can do about it.
    """

    def __init__(self, what: str, *, expected: str, got: str, fix: str) -> None:
        self.what = what
        self.expected = expected
        self.got = got
        self.fix = fix
        super().__init__(f"{what}: expected {expected}, got {got}. Fix: {fix}")

    def __reduce__(self) -> tuple[object, ...]:
        # The default pickling of exceptions replays only positional arguments and would lose the four fields
        # when an error crosses a process border (data loaders, process pools).
        return (_rebuild, (type(self), self.what, self.expected, self.got, self.fix))


def _rebuild(kind: type[Recon4dError], what: str, expected: str, got: str, fix: str) -> Recon4dError:
    return kind(what, expected=expected, got=got, fix=fix)


class InputError(Recon4dError, ValueError):
    """A value, array, file or option given by the caller is wrong."""


class SceneFormatError(InputError):
    """A file of a scene is corrupt, truncated, hostile, or of a version this program cannot read."""


class BackendError(Recon4dError, RuntimeError):
    """A rasterizer backend was asked for that this machine or this build cannot run."""
