"""How the commands print: one table style, plain text when the output is no terminal, progress on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

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


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Bars on standard error, one for each stage: the function given is told (stage, done, total).

    Nothing is shown where `quiet` is set or standard error is no terminal.
    """
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda stage, done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield tell


def busy(text: str, *, quiet: bool) -> AbstractContextManager[object]:
    """A spinner on standard error while something without a known length goes on; only on a terminal."""
    console = Console(stderr=True)
    return nullcontext() if quiet or not console.is_terminal else console.status(text)


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
