"""The process ``check`` of OGC API Processes, as a job's child runs it (gis.jobs; inputs: gis.api.processes).

What strangers get is judged anew here, whatever the request says: rules that read restricted layers do not
run, findings that tell of what is not public are left out before anything is counted, nothing is stored,
and rules that need the whole city are not run for a corner of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import orjson
import shapely

from gis.checks.findings import needs_of
from gis.checks.mends import geojson
from gis.checks.model import Application, Outcome, Reported, Severity
from gis.checks.registry import applications, rules
from gis.checks.report.jsonfile import record
from gis.checks.report.records import plain, standing, summary, with_geometry
from gis.checks.run import run_checks
from gis.checks.window import Setting
from gis.crs import WGS84
from gis.jobs.queue import Words
from gis.jobs.results import ResultWriter
from gis.jobs.task import Refused, Task
from gis.settings import Settings
from layers.registry import Catalogue

JSON, GEOJSON = "application/json", "application/geo+json"


def warm() -> None:
    """Import what every run needs, and read the layer files (what has not changed is not parsed again)."""
    rules()
    settings = Settings.from_env()
    settings.load_catalogue(settings.load_city())


def run(task: Task) -> tuple[str, Words]:
    """Check, write the report to ``task.result``; its media type and what the finished job says."""
    settings, asked = task.settings, task.request
    city = settings.load_city()
    catalogue = settings.load_catalogue(city)
    setting = Setting(city, catalogue, city.today())
    apps = chosen(
        applications(catalogue), catalogue, asked["layers"], asked["rules"], everything=task.steward
    )
    area = None if asked["area"] is None else shapely.from_wkb(asked["area"])
    if not task.steward and (asked["store"] or area is None):
        raise Refused(403, "steward-only", "Chỉ dành cho quản trị dữ liệu.", "Only a steward may do this.")

    def progress(done: int, total: int | None) -> None:
        share = min(1.0, done / total) if total else 0.0
        task.progress(share * 0.95, "Đang kiểm tra.", "Checking.")

    outcome = run_checks(
        task.db,
        setting,
        apps,
        area=area,
        area_name=asked["area_name"],
        # Starting workers costs more than a small area; what ended this process once is judged by workers,
        # which find the feature that does it.
        workers=0 if asked["small"] and task.attempt == 1 else None,
        store=bool(asked["store"]),
        progress=progress,  # no stop: the runner ends this process
    )
    if not task.steward or asked.get("shown") == "public":
        outcome = public(outcome)
    task.progress(0.97, "Đang ghi báo cáo.", "Writing the report.")
    write = write_geojson if asked["media_type"] == GEOJSON else write_json
    write(task.result, outcome, setting)
    return asked["media_type"], _words(outcome)


def chosen(
    apps: Iterable[Application],
    catalogue: Catalogue,
    layers: Sequence[str],
    only: Sequence[str],
    *,
    everything: bool,
) -> list[Application]:
    """The applications that were asked for. Without ``everything`` those that a stranger may run.

    Raises Refused when none is left.
    """
    asked = [
        app
        for app in apps
        if (not layers or set(layers) & {*app.layers, *app.against}) and (not only or app.rule.id in only)
    ]
    allowed = [app for app in asked if everything or may_anyone(app, catalogue)]
    if asked and not allowed:
        raise Refused(
            403,
            "steward-only",
            "Các quy tắc này cần toàn thành phố hoặc lớp hạn chế; chỉ dành cho quản trị dữ liệu.",
            "These rules need the whole city or restricted layers; only a steward may run them.",
        )
    if not asked:
        raise Refused(
            400,
            "nothing-to-check",
            "Không có quy tắc nào trong số này áp dụng cho các lớp đã chọn.",
            "None of these rules applies to these layers.",
        )
    return allowed


def may_anyone(app: Application, catalogue: Catalogue) -> bool:
    """Whether a rule reads public layers only, and no more of the city than lies around the area."""
    involved = {*app.layers, *app.against, *(need.layer for need in needs_of([app], catalogue))}
    return app.rule.scope == "local" and all(catalogue.layers[one].is_public for one in involved)


def public(outcome: Outcome) -> Outcome:
    """The outcome without findings that tell of what is not public; counted anew."""

    def findings() -> Iterator[Reported]:
        return (one for one in outcome.findings() if not one.finding.restricted)

    shown = replace(outcome, findings=findings)
    counts: Counter[tuple[str, Severity]] = Counter()
    states: Counter[str] = Counter()
    for one in standing(shown):
        counts[one.finding.rule, one.finding.severity] += 1
        states[one.state] += 1
        states["error"] += one.state == "open" and one.finding.severity == "E"
        states["new"] += one.news == "new"
    return replace(
        shown,
        counts=dict(counts),
        accepted=states["accepted"],
        new=states["new"],
        mended=0,
        open_errors=states["error"],
    )


def write_json(file: ResultWriter, outcome: Outcome, setting: Setting) -> None:
    """The JSON report of design/interfaces.md, a finding a line."""
    file.write(b'{"summary": ' + orjson.dumps(summary(outcome, setting)) + b',\n"findings": [')
    _lines(file, outcome, setting, record)
    file.write(b"\n]}\n")


def write_geojson(file: ResultWriter, outcome: Outcome, setting: Setting) -> None:
    """A FeatureCollection of the findings, with the summary as a member of its own."""
    file.write(b'{"type": "FeatureCollection", "summary": ' + orjson.dumps(summary(outcome, setting)))
    file.write(b',\n"features": [')
    _lines(file, outcome, setting, _feature)
    file.write(b"\n]}\n")


def _lines(
    file: ResultWriter,
    outcome: Outcome,
    setting: Setting,
    form: Callable[[Reported, shapely.Geometry, Setting], dict[str, object]],
) -> None:
    separator = b"\n"
    for one, shape in with_geometry(standing(outcome), setting, WGS84):
        file.write(separator + orjson.dumps(form(one, shape, setting)))
        separator = b",\n"


def _feature(one: Reported, shape: shapely.Geometry, _setting: Setting) -> dict[str, object]:
    properties = plain(one)
    return {
        "type": "Feature",
        "id": properties.pop("id"),
        "geometry": geojson(shape),
        "properties": properties,
    }


def _words(outcome: Outcome) -> Words:
    counts: Counter[str] = Counter()
    for (_rule, severity), count in outcome.counts.items():
        counts[severity] += count
    looked, e, w, i = sum(outcome.checked.values()), counts["E"], counts["W"], counts["I"]
    return {
        "vi": f"Đã kiểm tra {looked} đối tượng: {e} lỗi, {w} cảnh báo, {i} thông tin.",
        "en": f"{looked} features checked: {e} errors, {w} warnings, {i} notes.",
    }
