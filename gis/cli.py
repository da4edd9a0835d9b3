"""The ``bandoso`` command. Subcommands are imported when called, so that ``--help`` is instant."""

from __future__ import annotations

import importlib
from typing import ClassVar

import click

from gis import __version__


class LazyGroup(click.Group):
    """A group whose commands are named here and imported on use."""

    #: name -> (module, attribute, help line)
    commands_by_name: ClassVar[dict[str, tuple[str, str]]] = {
        "serve": ("gis.cli_serve", "serve"),
        "demo": ("gis.demo.cli", "demo"),
        "layers": ("gis.cli_layers", "layers"),
        "load": ("gis.ingest.cli", "load_command"),
        "doctor": ("gis.cli_doctor", "doctor"),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands_by_name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self.commands_by_name:
            return None
        module, attribute = self.commands_by_name[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Guides: docs/operators.md, docs/loading.md, docs/layer-authors.md.",
)
@click.version_option(__version__, prog_name="bandoso")
def main() -> None:
    """bandoso, the shared digital map of a city's infrastructure.

    \b
    bandoso serve                               start everything on http://127.0.0.1:8080
    bandoso load pipes.gpkg --layer water_pipe  take in a delivery
    bandoso layers                              what is there
    bandoso doctor                              is this installation sound?
    """


if __name__ == "__main__":
    main()
