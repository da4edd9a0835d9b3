"""What all commands share: options for the data folder or DSN, ``--json``, progress, errors, Ctrl-C."""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, NoReturn

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from gis.errors import BandosoError, MigrationRefused
from gis.settings import Settings

#: Progress and errors go to standard error, results to standard output.
STDERR = Console(stderr=True)

Report = Callable[[int, int | None], None]


class Output:
    """Prints a result as text for people or, with ``--json``, as one JSON document for machines."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def emit(self, data: Any, text: str) -> None:
        """Print ``data`` as JSON or ``text``, whichever was asked for."""
        if self.as_json:
            click.echo(json.dumps(data, ensure_ascii=False, indent=2, default=str))
        else:
            click.echo(text)


def common_options[**P, T](command: Callable[Concatenate[Settings, Output, P], T]) -> Callable[P, T]:
    """Give a command ``--data-dir``, ``--dsn``, ``--city`` and ``--json``.

    The command receives ``(settings, output, **its own options)``. Errors of gis.errors become one
    sentence (and a hint) on standard error and the exit code of their class.
    """

    @click.option("--data-dir", metavar="DIR", help="Folder of the embedded PostGIS [BANDOSO_DATA_DIR].")
    @click.option("--dsn", metavar="DSN", help="Use this PostgreSQL server instead [BANDOSO_DSN].")
    @click.option("--city", metavar="FILE", help="City file, when not the shipped one [BANDOSO_CITY].")
    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    @functools.wraps(command)
    def wrapper(*args: Any, **options: Any) -> T:
        as_json = bool(options.pop("as_json"))
        with reported_errors(as_json):
            settings = Settings.from_env(
                data_dir=options.pop("data_dir"), dsn=options.pop("dsn"), city=options.pop("city")
            )
            return command(settings, Output(as_json), *args, **options)
        raise AssertionError("unreachable")

    return wrapper


@contextmanager
def reported_errors(as_json: bool = False) -> Iterator[None]:
    """Turn errors into one sentence and an exit code; Ctrl-C into exit 130 without a traceback."""
    try:
        yield
    except BandosoError as error:
        _fail(error, as_json)
    except click.ClickException:
        raise  # a wrong call: click says it, with the usage
    except KeyboardInterrupt:
        STDERR.print("stopped; nothing was left half done", style="yellow")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        if os.environ.get("BANDOSO_LOG_LEVEL") == "debug":
            raise
        STDERR.print(
            f"bandoso: unexpected {type(error).__name__}: {error}",
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        STDERR.print("  this is a fault of bandoso; BANDOSO_LOG_LEVEL=debug shows where", highlight=False)
        sys.exit(70)


def _fail(error: BandosoError, as_json: bool) -> NoReturn:
    if as_json:
        problem = {"error": error.code, "message": error.message, "hint": error.hint, "errors": error.errors}
        click.echo(json.dumps({k: v for k, v in problem.items() if v}, ensure_ascii=False))
    STDERR.print(f"bandoso: {error.message}", style="red", markup=False, highlight=False, soft_wrap=True)
    if error.hint:
        STDERR.print(f"  {error.hint}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(error.exit_code)


def warn_refused(refusal: MigrationRefused) -> None:
    """Tell that layer files were not applied, and what that means."""
    STDERR.print(
        f"bandoso: the changed layer files are not applied: {refusal.message}",
        style="yellow",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    STDERR.print(
        "  layers that they change are not served; bandoso layers --apply --dry-run lists what is refused",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def warn_left_out(mistakes: Iterable[str]) -> None:
    """Tell what is wrong in layer files, and so is not looked at."""
    for mistake in mistakes:
        STDERR.print(
            f"bandoso: left out: {mistake}", style="yellow", markup=False, highlight=False, soft_wrap=True
        )


@contextmanager
def progress(title: str, *, after_seconds: float = 2.0) -> Iterator[Report]:
    """A progress bar on a terminal, shown once the work has taken ``after_seconds``.

    Yields ``report(done, total)``; ``total`` None means unknown. Silent when output is not a terminal.
    """
    if not STDERR.is_terminal:
        yield lambda _done, _total: None
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=STDERR,
        transient=True,
    )
    task = bar.add_task(title, total=None)
    started = time.monotonic()
    shown = False

    def report(done: int, total: int | None) -> None:
        nonlocal shown
        bar.update(task, completed=done, total=total)
        if not shown and time.monotonic() - started >= after_seconds:
            bar.start()
            shown = True

    try:
        yield report
    finally:
        if shown:
            bar.stop()
