"""How the commands print: one table style, plain text when the output is no terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table


def print_table(columns: list[str], rows: list[list[str]], *, title: str | None = None) -> None:
    """Print `rows` under `columns` on standard output."""
    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    _console().print(table, markup=False)


def print_line(text: str) -> None:
    """Print one line of text as it is on standard output."""
    _console().print(text, markup=False, highlight=False, soft_wrap=True)


class _Console(Console):
    """Leaves a closed pipe to `app.main`, where rich on its own would end the program with 1."""

    def on_broken_pipe(self) -> None:
        """Called by rich where it has caught a BrokenPipeError: raise it again."""
        raise BrokenPipeError


def _console() -> Console:
    console = _Console()
    if not console.is_terminal:
        # A pipe or a file has no width: nothing may be cut or wrapped there.
        console.width = 10_000
    return console
