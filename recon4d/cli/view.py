"""`recon4d view`: the web viewer and editor, until Ctrl-C."""

from __future__ import annotations

import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from recon4d.cli.console import busy, print_line
from recon4d.core import InputError

if TYPE_CHECKING:
    from recon4d.viewer import Viewer


def view_scene(
    path: Path, *, host: str, port: int, input_path: Path | None, memory_mb: int, open_browser: bool, quiet: bool
) -> None:
    """Serve the scene in the folder `path` until the program is interrupted.

    Args:
        path: the scene folder.
        host, port: to bind to.
        input_path: the film or data set that the scene was made from.
        memory_mb: of packed frames that are kept.
        open_browser: open the page in the user's browser.
        quiet: print the link only.

    Raises:
        InputError: what the user can mend.
        KeyboardInterrupt: at the end.
    """
    from recon4d.viewer import Project, Viewer

    if not memory_mb > 0:
        raise InputError("--memory", expected="megabytes above 0", got=str(memory_mb), fix="512 is the usual")
    if input_path is not None and not input_path.exists():
        raise InputError("--input", expected="a film or a folder", got=f"nothing at {input_path}", fix="check the path")
    with busy("opening the scene", quiet=quiet):
        viewer = Viewer(Project.open(path), host=host, port=port, input_path=input_path, memory=memory_mb * 1024 * 1024)
    try:
        serve(viewer, open_browser=open_browser, quiet=quiet)
    finally:
        viewer.stop()


def serve(viewer: Viewer, *, open_browser: bool, quiet: bool) -> None:
    """Print the link of a running viewer, and a new one for every line that is typed, until Ctrl-C."""
    link = viewer.link
    if open_browser:
        webbrowser.open(link)
    if quiet:
        print_line(link)
    else:
        print_line("Open this link in a browser; it works once:")
        print_line(f"  {link}")
        print_line("Enter prints a link for another browser. Ctrl-C ends; all edits are saved as they are made.")
    sys.stdout.flush()
    if sys.stdin is not None and sys.stdin.isatty():
        threading.Thread(target=_invite, args=(viewer,), daemon=True).start()
    threading.Event().wait()


def _invite(viewer: Viewer) -> None:
    for _ in sys.stdin:
        print_line(f"  {viewer.link}")
