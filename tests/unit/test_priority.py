"""Background work in sessions of its own counts as nice as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

AUTOGROUP = Path("/proc/self/autogroup")


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel shares processors between processes alone")
def test_a_child_in_its_own_session_lowers_the_session() -> None:
    code = (
        "import os; from gis.priority import give_way; give_way(3);"
        "print(os.nice(0), open('/proc/self/autogroup').read().split()[-1])"
    )
    root = Path(__file__).resolve().parents[2]
    here = int(subprocess.check_output([sys.executable, "-c", "import os; print(os.nice(0))"], text=True))
    said = subprocess.check_output([sys.executable, "-c", code], text=True, start_new_session=True, cwd=root)
    assert [int(word) for word in said.split()] == [here + 3, here + 3]
