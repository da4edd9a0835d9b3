"""What becomes of tasks that were lost: tried again, by single rules, by smaller windows, until what remains
is the feature that cannot be examined.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import shapely

from gis.checks.blocks import cut
from gis.checks.dbsource import DatabaseSource
from gis.checks.examine import Task
from gis.checks.model import Application, FeatureRef, Finding, Rule
from gis.checks.registry import rules
from gis.checks.source import Box

#: Tasks lost in a run until no more are tried again, and windows of one application cut after an error.
_MOST_LOST, _MOST_CUT = 60, 40


class Recovery:
    """Decides about lost tasks, and remembers what could not be judged in the end."""

    def __init__(
        self, applications: tuple[Application, ...], source: DatabaseSource, number: Callable[[], int]
    ) -> None:
        self._applications, self._source, self._number = applications, source, number
        self._lost = 0
        self._cuts: Counter[int] = Counter()
        #: (application key, box or None for the whole city) that was not judged.
        self.unjudged: list[tuple[str, Box | None]] = []
        self.sentences: list[str] = []
        #: Features that cannot be examined, by the key of ``unexamined_key``.
        self.culprits: list[tuple[str, Finding]] = []

    def lost(self, task: Task, why: str) -> list[Task]:
        """Tasks in the place of one whose worker ended.

        First the same again (an operator's kill is no fault of the data), then one for each application,
        then halves.
        """
        self._lost += 1
        if self._lost <= _MOST_LOST:
            if task.attempt == 0:
                return [replace(task, number=self._number(), attempt=1)]
            if len(task.applications) > 1:
                return [self._single(task, index) for index in task.applications]
            halves = self._halves(task, why)
            if halves is not None:
                return halves
        for index in task.applications:
            self._give_up(index, task.box, why)
        return []

    def failed(self, task: Task, index: int, why: str) -> list[Task]:
        """Tasks in the place of an application that raised an error on a window."""
        self._cuts[index] += 1
        if self._cuts[index] <= _MOST_CUT:
            halves = self._halves(self._single(task, index), why)
            if halves is not None:
                return halves
        self._give_up(index, task.box, why)
        return []

    def _single(self, task: Task, index: int) -> Task:
        return replace(
            task,
            number=self._number(),
            applications=(index,),
            attempt=max(task.attempt, 1),
            weight=task.weight / len(task.applications),
        )

    def _halves(self, task: Task, why: str) -> list[Task] | None:
        """Windows with half of the judged features each; [] for a single one; None if it cannot be cut."""
        app = self._applications[task.applications[0]]
        box = task.box
        if box is None:
            return None
        boxes = [found for layer in app.layers for found in self._source.boxes(layer, box)]
        corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)[:, :2]
        inside = (
            (corners[:, 0] >= box[0])
            & (corners[:, 0] < box[2])
            & (corners[:, 1] >= box[1])
            & (corners[:, 1] < box[3])
        )
        corners = corners[inside]
        if len(corners) == 1:
            self._blame(app, box, why)
            return []
        parts = cut(corners, np.ones(len(corners)), box, max(len(corners) / 2, 1.0))
        if len(parts) == 1:
            return None
        return [
            replace(task, number=self._number(), box=part.box, weight=task.weight / len(parts))
            for part in parts
        ]

    def _give_up(self, index: int, box: Box | None, why: str) -> None:
        app = self._applications[index]
        self.unjudged += [(app.key, box), (unexamined_key(app.key), box)]
        self.sentences.append(f"{app.key} was not judged {_around(box)}: {why}")

    def _blame(self, app: Application, box: Box, why: str) -> None:
        """The one feature whose corner is in the box cannot be examined."""
        self.unjudged.append((app.key, box))
        for layer in app.layers:
            found = self._source.features(layer, box, ())
            for index in range(len(found)):
                x, y = found.boxes[index, :2]
                if box[0] <= x < box[2] and box[1] <= y < box[3]:
                    ref = found.ref(index)
                    self.sentences.append(f"{app.key} could not examine {layer} {ref.asset_id}: {why}")
                    where = shapely.box(*found.boxes[index])
                    self.culprits.append((unexamined_key(app.key), unexamined(app, ref, where)))


def unexamined_key(key: str) -> str:
    """Under which key the findings stand that a feature ends the program that judges it by ``key``.

    Edits do not judge such a place in the server's own process (gis.checks.incremental).
    """
    return f"{key}!"


def unexamined(app: Application, ref: FeatureRef, where: Any) -> Finding:
    """The finding (GEN-01 where there is such a rule) that a feature defeats the program that examines it."""
    rule: Rule = rules()["GEN-01"].rule if "GEN-01" in rules() else app.rule
    text = {
        "vi": f"không kiểm tra được bằng {app.rule.id}, hãy vẽ lại đối tượng",
        "en": f"could not be examined by {app.rule.id}; draw it again",
    }
    names = {name for _, name, _, _ in string.Formatter().parse(rule.message.en + rule.message.vi) if name}
    words = dict.fromkeys(names - {"value", "limit"}, text)
    minx, miny, _, _ = shapely.bounds(where)
    return Finding(rule.id, "E", (ref,), where, (float(minx), float(miny)), words=words)


def _around(box: Box | None) -> str:
    if box is None:
        return "anywhere"
    if not np.isfinite(box).all():
        return "in a window of the city"
    return f"between {box[0]:.1f}, {box[1]:.1f} and {box[2]:.1f}, {box[3]:.1f}"
