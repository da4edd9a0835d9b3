"""YAML as layer files need it: safe, quick, and a key given twice is a mistake, not the last one wins."""

from __future__ import annotations

from typing import Any

import yaml

#: A layer file is read whole; the shipped ones have at most 30 kB.
MOST_BYTES = 4_000_000
MOST_LEVELS = 50

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is five times as quick


class _Loader(_Base):  # type: ignore[misc]
    """Safe loader that refuses duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            mark = (key.tag, str(key.value))
            if isinstance(key, yaml.ScalarNode) and mark in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add(mark)
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found


def _check_depth(raw: bytes) -> None:
    """libyaml builds nodes recursively and takes the process down at some 20,000 levels."""
    depth = 0
    for event in yaml.parse(raw, Loader=_Base):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_LEVELS:
            raise RecursionError


def read_yaml(raw: bytes) -> Any:
    """The content of a YAML file. Raises ValueError with a sentence and the line."""
    if len(raw) > MOST_BYTES:
        raise ValueError(f"is larger than {MOST_BYTES // 1_000_000} MB")
    try:
        _check_depth(raw)
        return yaml.load(raw, Loader=_Loader)  # noqa: S506 - derived from the safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "unreadable text"
        place = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{place}{problem}") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError as error:  # a date such as 2024-13-45
        raise ValueError(f"holds an impossible value ({error})") from None
