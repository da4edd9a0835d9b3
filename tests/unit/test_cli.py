"""The command line as users meet it: help, wrong calls, folders and files that cannot be read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gis.cli import LazyGroup

ROOT = Path(__file__).resolve().parents[2]


def bandoso(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The program in its own process, without settings of the caller's environment."""
    return subprocess.run(
        [sys.executable, "-m", "gis.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd or ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"},
        timeout=60,
        check=False,
    )


def test_help_lists_every_command_in_whole_sentences() -> None:
    text = bandoso("--help").stdout
    assert text.startswith("Usage: bandoso "), "not how Python was started"
    assert "..." not in text.partition("Commands:")[2]
    for name, (_, _, line) in LazyGroup.commands_by_name.items():
        assert f"  {name}" in text
        assert line in text


def test_help_imports_no_subcommand() -> None:
    program = (
        "import sys; from gis.cli import main; main(['--help'], standalone_mode=False);"
        "print([m for m in sys.modules if m.startswith(('gis.ingest', 'gis.demo', 'gis.db', 'numpy'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize("name", LazyGroup.commands_by_name)
def test_help_of_each_command_names_the_program(name: str) -> None:
    done = bandoso(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: bandoso {name} ")


def test_a_wrong_call_shows_the_usage() -> None:
    done = bandoso("layers", "--dry-run")
    assert done.returncode == 2
    assert "--dry-run goes with --apply" in done.stderr
    assert "unexpected" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--city", "/usr"), "the city file usr cannot be read"),
        (("--city", "/nope/city.yml"), "there is no city file city.yml"),
        (("--data-dir", "/proc/bandoso"), "the data folder cannot be made"),
        (("--data-dir", "/dev/null"), "the data folder's path is a file"),
        (("--data-dir", "/dev/null/x"), "the data folder's path is a file"),
    ],
)
def test_files_and_folders_that_cannot_be_used(arguments: tuple[str, str], sentence: str) -> None:
    done = bandoso("layers", *arguments)
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith(f"bandoso: {sentence}")
    assert "Traceback" not in done.stderr and "unexpected" not in done.stderr


def test_a_broken_city_file_names_the_line(tmp_path: Path) -> None:
    city = tmp_path / "town.yml"
    city.write_text("id: town\ntitle: {vi: Phố, en: Town\ncrs: 3\n", encoding="utf-8")
    done = bandoso("layers", "--city", city)
    assert done.returncode == 3
    assert "town.yml is not valid YAML: line 3" in done.stderr


def test_unreadable_layer_files_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers" / "own.yml").symlink_to("/proc/1/mem")  # a file that opens and cannot be read
    done = bandoso("layers", "--data-dir", tmp_path)
    assert done.returncode == 3
    assert "the layer files cannot be read" in done.stderr


def test_scripts_leave_another_users_checkout_alone(tmp_path: Path) -> None:
    """They once cleared its environment away, as far as they could, because its Python did not run."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        checkout = Path(name)
        checkout.chmod(0o755)
        shutil.copytree(ROOT / "scripts", checkout / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        for script in ("run", "bandoso"):
            done = subprocess.run(
                ["setpriv", "--reuid", "nobody", "--clear-groups", str(checkout / "scripts" / script)],
                capture_output=True,
                text=True,
                env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
                cwd="/",
                timeout=60,
                check=False,
            )
            assert done.returncode == 1
            assert done.stderr.startswith("bandoso: this user may not write to the checkout")
            assert len(done.stderr.splitlines()) == 1
