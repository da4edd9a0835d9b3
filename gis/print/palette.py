"""What the page's drawings share: opacities, discs and icons, each written once and used by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from gis.errors import ConfigError
from gis.print.fonts import Fonts
from gis.print.pdf import Pdf, colour, named, number_text
from gis.print.symbols import Circle
from gis.resources import web_dir

#: Left, bottom, right and top on the page.
Place = tuple[float, float, float, float]

#: Control points of a quarter of a circle.
_ARC: Final = 0.5522847498


@cache
def icons() -> dict[str, Any]:
    """The icons, as the page's build writes them (gis/web/build/print.ts). Raises ConfigError."""
    try:
        read: dict[str, Any] = json.loads((web_dir() / "print" / "icons.json").read_bytes())
    except OSError:
        raise ConfigError(
            "the icons for printing are not there", hint="scripts/run builds the page, and them with it"
        ) from None
    return read


class Palette:
    """The resources of one page."""

    def __init__(self, pdf: Pdf) -> None:
        self._pdf = pdf
        self.fonts = Fonts(pdf)
        self._alphas: dict[str, int] = {}
        self._forms: dict[object, str] = {}
        self._numbers: dict[str, int] = {}
        #: Optional content: name in the page's resources -> (object, title).
        self.groups: dict[str, tuple[int, str]] = {}

    def alpha(self, opacity: float) -> str:
        """The operator that sets the opacity of what follows; nothing for what is opaque."""
        if opacity >= 0.999:
            return ""
        name = f"A{round(opacity * 1000)}"
        if name not in self._alphas:
            value = number_text(opacity)
            self._alphas[name] = self._pdf.put(f"<</Type/ExtGState/CA {value}/ca {value}>>")
        return f"/{name} gs "

    def disc(self, circle: Circle, pixel: float) -> str:
        """The name of a drawing of a disc with its border, around 0, 0."""
        key = circle._replace(opacity=1.0)
        if key not in self._forms:
            inner = circle.radius * pixel
            outer = inner + circle.stroke_width * pixel
            parts = [colour(circle.stroke) + circle_path(outer) + "f "] if outer > inner else []
            parts.append(colour(circle.colour) + circle_path(inner) + "f")
            self._keep(key, self._pdf.form("".join(parts), (-outer, -outer, outer, outer)))
        return self._forms[key]

    def icon(self, name: str) -> tuple[str, float] | None:
        """The name of an icon's drawing (1 wide, around 0, 0) and its width in pixels, if there is one."""
        found = icons().get(name)
        if found is None:
            return None
        if name not in self._forms:
            self._keep(name, self._pdf.form(_icon(found), (-0.6, -0.6, 0.6, 0.6)))
        return self._forms[name], float(found["width"])

    def together(self, content: str, images: Mapping[str, int], box: Place, opacity: float) -> str:
        """The operators that draw images as one thing. ``images``: names in ``content``, and numbers."""
        entries = "/Group<</Type/Group/S/Transparency>>"
        number = self._pdf.form(content, box, f"/XObject<<{named(images)}>>", entries)
        name = f"P{len(self._numbers)}"
        self._numbers[name] = number
        return f"q {self.alpha(opacity)}/{name} Do Q\n"

    def group(self, title: str) -> str:
        """The name of a layer that viewers list and switch."""
        name = f"L{len(self.groups)}"
        self.groups[name] = (self._pdf.number(), title)
        return name

    def resources(self) -> str:
        """The page's resources: everything that was used."""
        groups = named({name: number for name, (number, _) in self.groups.items()})
        return (
            f"<<{self.fonts.resources()}/ExtGState<<{named(self._alphas)}>>"
            f"/XObject<<{named(self._numbers)}>>/Properties<<{groups}>>>>"
        )

    def _keep(self, key: object, number: int) -> None:
        self._forms[key] = f"/X{len(self._numbers)}"
        self._numbers[f"X{len(self._numbers)}"] = number


def circle_path(radius: float) -> str:
    """A circle around 0, 0."""
    r, c = number_text(radius), number_text(radius * _ARC)
    return (
        f"{r} 0 m {r} {c} {c} {r} 0 {r} c -{c} {r} -{r} {c} -{r} 0 c"
        f" -{r} -{c} -{c} -{r} 0 -{r} c {c} -{r} {r} -{c} {r} 0 c h "
    )


_OPERATORS: Final = {"M": "m", "L": "l", "C": "c", "Z": "h"}


def _icon(icon: dict[str, Any]) -> str:
    """Paths of M, L, C and Z in the icon's own box, brought to a box of 1 around 0, 0 with y upwards."""
    left, top, width, height = icon["box"]
    scale = 1 / width
    parts = [f"{scale:.6f} 0 0 -{scale:.6f} {-(left / width + 0.5):.6f} {(top + height / 2) / width:.6f} cm "]
    for path in icon["paths"]:
        if path["fill"]:
            parts.append(colour(path["fill"]))
        if path["stroke"]:
            parts.append(f"{colour(path['stroke'], stroke=True)}{number_text(path['width'])} w ")
            parts.append("1 J 1 j " if path["round"] else "0 J 0 j ")
        parts.append(_path(path["d"]))
        parts.append(
            {(True, True): "B ", (True, False): "f ", (False, True): "S "}.get(
                (bool(path["fill"]), bool(path["stroke"])), "n "
            )
        )
    return "".join(parts)


def _path(d: str) -> str:
    made: list[str] = []
    numbers: list[str] = []
    operator = ""
    for token in [*d.split(), "M"]:
        if token in _OPERATORS:
            if operator:
                made.append(" ".join([*numbers, operator, ""]))
            operator, numbers = _OPERATORS[token], []
        else:
            numbers.append(number_text(float(token)))
    return "".join(made)
