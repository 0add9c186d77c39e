"""The `recon4d` command: its sub-commands, and the one place where an error becomes a line and an exit code.

Sub-commands are imported when they are called, so that `recon4d --help` answers without loading decoders or kernels.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import tyro

import recon4d
from recon4d.core import Recon4dError

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def backends() -> None:
    """Show which rasterizer backends work here, and why the others do not."""
    from recon4d.cli.backends import show_backends

    show_backends()


def info(scene: Annotated[Path, tyro.conf.Positional]) -> None:
    """Describe a scene: its times, cameras and layers.

    Args:
        scene: the scene folder, NAME.r4d.
    """
    from recon4d.cli.info import show_scene

    show_scene(scene)


def demo(
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out/demo"),
    creature: str = "quadruped",
    size: int = 512,
    seconds: float = 4.0,
) -> None:
    """Render a generated moving creature, seen from a camera that circles it.

    Args:
        output: folder for the video, a picture and the scene; made where it does not exist.
        creature: which built-in creature.
        size: width and height of the picture in pixels.
        seconds: length of the video.
    """
    from recon4d.cli.demo import make_demo

    make_demo(output, creature=creature, size=size, seconds=seconds)


COMMANDS: dict[str, Callable[..., None]] = {"backends": backends, "demo": demo, "info": info}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 is success, 2 an error that the user can mend (printed as one line), 130 an interrupt (Ctrl-C), 141 a reader that
    closed the pipe.  Anything else that goes wrong is a bug and shows its traceback.

    Args:
        arguments: what follows the program's name; sys.argv's where None.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(arguments)
        # A closed pipe shows itself when the last lines are written, which must not happen after the handler below.
        sys.stdout.flush()
    except Recon4dError as error:
        print("recon4d: " + " ".join(str(error).split()), file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("recon4d: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # `recon4d info x.r4d | head` is no error.  The interpreter flushes stdout once more on its way out, so it gets
        # somewhere to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    return code


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(f"recon4d {recon4d.__version__}")
        return 0
    application = tyro.extras.SubcommandApp()
    for name, command in COMMANDS.items():
        application.command(name=name)(command)
    try:
        application.cli(args=arguments or ["--help"], prog="recon4d", description=recon4d.__doc__)
    except SystemExit as stop:
        # tyro leaves this way after printing a help text (0) or a wrong argument (2).
        return stop.code if isinstance(stop.code, int) else EXIT_ERROR
    return 0
