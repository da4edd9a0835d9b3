"""Copies the screenshots that the guides show from test-output to docs/pictures, in 128 colours."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def main() -> None:
    """Copies those that were made; ends with status 1 when a guide names one that no test made."""
    (DOCS / "pictures").mkdir(exist_ok=True)
    missing = []
    for name in sorted(pictures()):
        made = ROOT / "test-output" / f"{name}.png"
        if not made.is_file():
            missing.append(name)
            continue
        with Image.open(made) as image:
            # Colours that few pixels have count as much as others: they are the sectors' and the verdicts'.
            small = image.convert("RGB").quantize(
                128, method=Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE
            )
            small.save(DOCS / "pictures" / f"{name}.png", optimize=True)
    if missing:
        sys.exit(f"no test made: {', '.join(missing)}")


def pictures() -> set[str]:
    """The names that the documents show."""
    return {
        name
        for guide in DOCS.glob("*.md")
        for name in re.findall(r"\(pictures/([a-z0-9-]+)\.png\)", guide.read_text(encoding="utf-8"))
    }


if __name__ == "__main__":
    main()
