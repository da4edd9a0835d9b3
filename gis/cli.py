"""The ``bandoso`` command. A subcommand is imported when it is called, so that ``--help`` is instant."""

from __future__ import annotations

import importlib
from typing import ClassVar

import click

from gis import __version__


class LazyGroup(click.Group):
    """A group whose commands are named here and imported on use."""

    #: name -> (module, attribute, line in the list of commands)
    commands_by_name: ClassVar[dict[str, tuple[str, str, str]]] = {
        "serve": ("gis.cli_serve", "serve", "Start PostGIS, prepare the layers and serve the map."),
        "demo": ("gis.demo.cli", "demo", "Fill the layers with a synthetic city."),
        "layers": ("gis.cli_layers", "layers", "List the layers, or apply changed layer files."),
        "load": ("gis.ingest.cli", "load_command", "Load a delivery into a layer."),
        "load-raster": (
            "gis.ingest.raster.cli",
            "load_raster",
            "Load orthophotos, elevation models, scanned sheets.",
        ),
        "check": ("gis.checks.cli", "check", "Check topology and quality by the rules of the layers."),
        "finding": ("gis.checks.cli_finding", "finding", "Look at findings; accept them with a reason."),
        "tiles": ("gis.cli_tiles", "tiles", "Build archives of vector tiles; prove them."),
        "user": ("gis.cli_user", "user", "Manage accounts: who may see and change what."),
        "history": ("gis.cli_history", "history", "Show the versions of a feature; purge old history."),
        "changesets": ("gis.cli_history", "changesets", "List who changed what, and when."),
        "undo": ("gis.cli_history", "undo", "Undo a changeset."),
        "qgis-project": ("gis.cli_qgis", "qgis_project", "Write a QGIS project of the layers."),
        "print": ("gis.cli_print", "print_map", "Write a map at a true scale as a PDF."),
        "doctor": ("gis.cli_doctor", "doctor", "Prove the installation."),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands_by_name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self.commands_by_name:
            return None
        module, attribute, _ = self.commands_by_name[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, from the lines above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in self.commands_by_name.items()])


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
    bandoso check --report findings.html        what is wrong with the data
    bandoso doctor                              is this installation sound?
    """


if __name__ == "__main__":
    main(prog_name="bandoso")  # usage lines name what users type, whichever way it was started
