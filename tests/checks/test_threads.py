"""Edits of one server process are judged in several threads at once, which share what rules keep."""

from __future__ import annotations

import subprocess
import sys

#: Threads that ask the city's boundary and a sheet's frame what lies in it, as GEN-11 and CAD-12 do. Run
#: apart: shared by threads, a prepared boundary ended this program within a second.
_PROGRAM = """
import threading, time
import numpy as np, shapely
from gis.checks.rules.cad_sheets import _frame
from gis.checks.rules.gen_place import _area

turns = np.linspace(0, 2 * np.pi, 5000)
far = 10_000 + np.random.default_rng(1).uniform(-300, 300, 5000)
boundary = (shapely.to_wkb(shapely.Polygon(np.column_stack([far * np.cos(turns), far * np.sin(turns)]))),)
end, asked = time.monotonic() + 2, []

def work(seed):
    rng = np.random.default_rng(seed)
    while time.monotonic() < end:
        a = rng.uniform(0, 2 * np.pi, 50)
        x, y = 10_000 * np.cos(a), 10_000 * np.sin(a)
        boxes = shapely.box(x - 50, y - 50, x + 50, y + 50)
        city = _area(boundary)
        shapely.covers(city, boxes), shapely.contains_xy(city, x, y), shapely.dwithin(city, boxes, 1.0)
        frame = _frame("C-48-34-D", 9210)
        shapely.prepare(frame)
        shapely.covers(frame, boxes), shapely.intersects(frame, boxes)
    asked.append(seed)

threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for one in threads:
    one.start()
for one in threads:
    one.join()
print(len(asked), _area(boundary) is _area(boundary))
"""


def test_threads_that_judge_at_once_do_not_end_their_process() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, ["4", "True"]), done.stderr[-2000:]
