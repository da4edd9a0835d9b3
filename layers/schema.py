"""The JSON Schema of layer files, for editors: ``python -m layers.schema`` writes layer.schema.json.

Put ``# yaml-language-server: $schema=layer.schema.json`` on top of a file and the editor completes it.
"""

from __future__ import annotations

import json
from pathlib import Path

from layers.model import SectorFile

PATH = Path(__file__).parent / "layer.schema.json"


def schema() -> str:
    """The text of the schema file, generated from layers.model."""
    content = {"$schema": "https://json-schema.org/draft/2020-12/schema", **SectorFile.model_json_schema()}
    content["title"] = "A layer file of bandoso"
    return json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(schema(), encoding="utf-8")
