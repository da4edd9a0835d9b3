"""Writes docs/rules.md and docs/rules/*.svg from the declarations of the check rules and their test cases.

python scripts/rule_docs.py           write them
python scripts/rule_docs.py --check   exit 1 when they are not what the code says (a test does this)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import shapely

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gis.checks.findings import message  # noqa: E402
from gis.checks.model import Application, Finding, Rule, Value  # noqa: E402
from gis.checks.registry import applications, rules  # noqa: E402
from gis.checks.report import maps  # noqa: E402
from gis.checks.source import EVERYWHERE, Box, MemorySource  # noqa: E402
from tests.checks.cases import Case, all_cases, check, setting, source_of  # noqa: E402

FAMILIES = {
    "GEN": "Every layer (GEN)",
    "CAD": "Cadastre and boundaries (CAD)",
    "NET": "Networks (NET)",
    "DRN": "Drainage (DRN)",
    "XLY": "Between layers (XLY)",
}
SEVERITY = {"E": "error", "W": "warning", "I": "information"}
STYLE = {0: "point", 1: "line", 2: "area", -1: "line"}
RATIO, WIDTH, HEIGHT = 1.5, 300, 200
#: The picture is drawn a second time, from near, when what was found is smaller than this share of it.
NEAR = 1 / 12

HEAD = """# Check rules

Made by `scripts/rule_docs.py` from the rules' declarations; pictures are drawn from their own test cases
(`tests/checks/cases/`). How to run checks: [checks.md](checks.md).

Severity and parameters are those of the shipped layer files; a layer's own `checks:` change them
([layer-authors.md](layer-authors.md)).
"""


def document() -> dict[Path, str]:
    """Every generated file with its content."""
    files: dict[Path, str] = {}
    used: dict[str, list[Application]] = {}
    for app in applications(setting().catalogue):
        used.setdefault(app.rule.id, []).append(app)
    text = [HEAD]
    for family, title in FAMILIES.items():
        mine = [entry.rule for entry in rules().values() if entry.rule.family == family]
        text += [f"## {title}\n", "| rule | | severity |", "|---|---|---|"]
        text += [f"| [{r.id}](#{r.id.lower()}) | {r.title.en} | {SEVERITY[r.severity]} |" for r in mine]
        text.append("")
        for rule in mine:
            pictures, example = _pictures(rule)
            files |= {ROOT / "docs" / "rules" / name: svg for name, svg in pictures.items()}
            text.append(_section(rule, used.get(rule.id, []), list(pictures), example))
    files[ROOT / "docs" / "rules.md"] = "\n".join(text).rstrip() + "\n"
    return files


def _section(rule: Rule, apps: list[Application], pictures: list[str], example: Finding | None) -> str:
    lines = [f"### {rule.id}", "", f"**{rule.title.en}** · {rule.title.vi} · {SEVERITY[rule.severity]}", ""]
    if pictures:
        lines += [" ".join(f"![{rule.title.en}](rules/{name})" for name in pictures), ""]
    lines += [rule.explanation.en, "", f"_{rule.explanation.vi}_", ""]
    if example is not None:
        lines += [f"> {message(example, 'en')}  ", f"> {message(example, 'vi')}", ""]
    if rule.parameters:
        lines += ["| parameter | | default |", "|---|---|---|"]
        lines += [f"| `{p.name}` | {p.title.en} | {_value(p.default, p.unit)} |" for p in rule.parameters]
        lines.append("")
    lines += [f"Source: {rule.source}. {_applied(apps)}", ""]
    return "\n".join(lines)


def _value(value: Value | None, unit: str) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g} {unit}".strip() if isinstance(value, int | float) else f"{value or 'none'}"


def _applied(apps: list[Application]) -> str:
    if not apps:
        return "No shipped layer file asks for it."
    names = dict.fromkeys(app.network or ", ".join(app.layers) for app in apps)
    some = list(names)
    if len(some) > 12:
        return f"Applied to {len(some)} layers."
    return f"Applied to {'; '.join(some)}."


def _pictures(rule: Rule) -> tuple[dict[str, str], Finding | None]:
    """The rule's case that is marked ``picture``, from afar and, if need be, from near."""
    case = next((c for c in all_cases() if c.rule == rule.id and c.picture), None)
    if case is None:
        return {}, None
    source = source_of(case)
    found = check(case, source)
    whole = maps.box_around(_shapes(case, source), ratio=RATIO, margin=0.12, least=1)
    near = maps.box_around([one.where for one in found], ratio=RATIO, margin=0.8, least=0.05)
    if whole is None:
        return {}, found[0] if found else None
    drawn = {f"{rule.id}.svg": _picture(case, source, found, whole, rule.title.en)}
    seen_near = any(one.mends or shapely.length(shapely.envelope(one.where)) > 0 for one in found)
    if near is not None and seen_near and near[3] - near[1] < NEAR * (whole[3] - whole[1]):
        drawn[f"{rule.id}-near.svg"] = _picture(case, source, found, near, f"{rule.title.en}, from near")
    return drawn, found[0] if found else None


def _shapes(case: Case, source: MemorySource) -> list[shapely.Geometry]:
    return [shape for layer in case.layers for shape in source.features(layer, EVERYWHERE, ()).geometry]


def _picture(case: Case, source: MemorySource, found: list[Finding], box: Box, title: str) -> str:
    catalogue = setting().catalogue
    drawn = []
    for layer in sorted(case.layers, key=lambda name: -catalogue.layers[name].dimension):
        features = source.features(layer, EVERYWHERE, ())
        drawn += [
            maps.Drawn(shape, STYLE[max(-1, int(shapely.get_dimensions(shape)))], label=str(asset))
            for shape, asset in zip(features.geometry, features.asset_id, strict=True)
        ]
    drawn += [maps.Drawn(one.where, one.severity) for one in found]
    drawn += [maps.Drawn(m.geometry, "mend") for one in found for m in one.mends if m.geometry is not None]
    svg = maps.picture(box, drawn, width=WIDTH, height=HEIGHT, title=title)
    head, rest = svg.split(">", 1)
    return f"{head}><style>{maps.CSS}</style>{rest}\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when files are stale")
    arguments = parser.parse_args()
    files = document()
    folder = ROOT / "docs" / "rules"
    stale = [p for p, text in files.items() if not p.is_file() or p.read_text(encoding="utf-8") != text]
    gone = [path for path in folder.glob("*.svg") if path not in files]
    if arguments.check:
        for path in (*stale, *gone):
            print(f"{path.relative_to(ROOT)} is not what the rules say; run scripts/rule_docs.py")
        return 1 if stale or gone else 0
    folder.mkdir(parents=True, exist_ok=True)
    for path in stale:
        path.write_text(files[path], encoding="utf-8")
    for path in gone:
        path.unlink()
    print(f"{len(files)} files, {len(stale)} written, {len(gone)} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
