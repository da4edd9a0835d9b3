"""Small maps as SVG: geometry in metres drawn into a picture with a scale bar; no font, no script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import shapely

from gis.checks.source import Box

#: CSS of the pictures, for the page or file that holds them.
CSS = """
.map{background:#fbfaf7;border:1px solid #d5d0c4}
.map .area{fill:#e9e4d6;stroke:#8a8371;stroke-width:.8}
.map .line{fill:none;stroke:#2f7fc4;stroke-width:1.6}
.map .point{fill:#fff;stroke:#1d5c91;stroke-width:1.4}
.map .back{fill:#f1eee6;stroke:#c4bda9;stroke-width:.6}
.map .E{fill:#d7191c;fill-opacity:.45;stroke:#d7191c;stroke-width:1.6}
.map .W{fill:#f08c00;fill-opacity:.45;stroke:#d97c00;stroke-width:1.6}
.map .I{fill:#3b7dd8;fill-opacity:.4;stroke:#3b7dd8;stroke-width:1.4}
.map .E.open,.map .W.open,.map .I.open{fill:none;stroke-width:3}
.map .mend{fill:none;stroke:#1a9641;stroke-width:1.6;stroke-dasharray:4 2}
.map text{font:9px sans-serif;fill:#555;stroke:none}
.map .bar{stroke:#555;stroke-width:1.2;fill:none}
"""


@dataclass(frozen=True)
class Drawn:
    """A geometry (storage CRS) and how it is drawn: classes of CSS; a title shown on hovering."""

    shape: shapely.Geometry
    style: str
    title: str = ""
    #: Radius of points in pixels.
    radius: float = 3.2
    #: A text beside it.
    label: str = ""


def box_around(
    shapes: Iterable[shapely.Geometry], *, ratio: float, margin: float, least: float
) -> Box | None:
    """A box of sides ``ratio`` (width by height) around the shapes, ``margin`` (share of the side) larger on
    each side and at least ``least`` metres high; None when nothing has a finite place."""
    some = [b for b in map(shapely.bounds, shapes) if np.isfinite(b).all()]
    if not some:
        return None
    boxes = np.array(some)
    x0, y0 = boxes[:, :2].min(axis=0)
    x1, y1 = boxes[:, 2:].max(axis=0)
    height = max(y1 - y0, (x1 - x0) / ratio, least) * (1 + 2 * margin)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - height * ratio / 2, y - height / 2, x + height * ratio / 2, y + height / 2


def picture(box: Box, drawn: Sequence[Drawn], *, width: int = 240, height: int = 160, title: str = "") -> str:
    """An ``<svg>`` of what lies in ``box``; later shapes are drawn over earlier ones."""
    scale = min(width / (box[2] - box[0]), height / (box[3] - box[1]))
    parts = [
        f'<svg class="map" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(title, quote=True)}">'
    ]
    # A little outside of the picture, so that cut edges are not seen.
    edge = 6 / scale
    frame = (box[0] - edge, box[1] - edge, box[2] + edge, box[3] + edge)
    for one in drawn:
        parts += _drawn(one, frame, box, scale, height)
    parts += [_label(one, box, scale, height) for one in drawn if one.label]
    parts += [_bar(box, scale, width, height), "</svg>"]
    return "".join(parts)


def _drawn(one: Drawn, frame: Box, box: Box, scale: float, height: int) -> Iterable[str]:
    hover = f"<title>{escape(one.title)}</title>" if one.title else ""
    for shape in shapely.get_parts(_clipped(shapely.force_2d(one.shape), frame)):
        if shape.is_empty:
            continue
        if shape.geom_type == "GeometryCollection":
            yield from _drawn(Drawn(shape, one.style, one.title, one.radius), frame, box, scale, height)
            continue
        dimension = int(shapely.get_dimensions(shape))
        if dimension == 0:
            x, y = (shape.x - box[0]) * scale, height - (shape.y - box[1]) * scale
            place = f'cx="{x:.1f}" cy="{y:.1f}" r="{one.radius:.1f}"'
            yield f'<circle class="{one.style}" {place}>{hover}</circle>'
            continue
        rings = [shape.exterior, *shape.interiors] if dimension == 2 else [shape]
        path = "".join(_path(shapely.get_coordinates(r), box, scale, height) for r in rings)
        style = one.style if dimension == 2 else f"{one.style} open"
        yield f'<path class="{style}" fill-rule="evenodd" d="{path}">{hover}</path>'


def _label(one: Drawn, box: Box, scale: float, height: int) -> str:
    seen = _clipped(shapely.force_2d(one.shape), box)
    if seen.is_empty:
        return ""
    point = shapely.point_on_surface(seen)
    x, y = (point.x - box[0]) * scale, height - (point.y - box[1]) * scale
    aside = 0 if shapely.get_dimensions(seen) == 2 else 6
    anchor = "start" if aside else "middle"
    return f'<text x="{x + aside:.1f}" y="{y - aside:.1f}" text-anchor="{anchor}">{escape(one.label)}</text>'


def _clipped(shape: shapely.Geometry, frame: Box) -> shapely.Geometry:
    if not np.isfinite(shapely.get_coordinates(shape)).all():
        return shapely.Point()
    try:
        return shapely.clip_by_rect(shape, *frame)
    except shapely.GEOSException:  # invalid geometry is drawn as it is: it is what the finding is about
        return shape


def _path(xy: np.ndarray, box: Box, scale: float, height: int) -> str:
    at = np.column_stack([(xy[:, 0] - box[0]) * scale, height - (xy[:, 1] - box[1]) * scale]).round(1)
    # Vertices that fall on one spot of the picture are drawn once.
    keep = np.ones(len(at), dtype=bool)
    keep[1:] = (at[1:] != at[:-1]).any(axis=1)
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in at[keep])


def _bar(box: Box, scale: float, width: int, height: int) -> str:
    """A scale bar of a round length, about a fifth of the picture."""
    wanted = (box[2] - box[0]) / 5
    power = 10.0 ** math.floor(math.log10(wanted))
    length = max(step * power for step in (1, 2, 5) if step * power <= wanted)
    pixels = length * scale
    if length >= 1000:
        text = f"{length / 1000:g} km"
    elif length >= 1:
        text = f"{length:g} m"
    else:
        text = f"{length * 100:g} cm" if length >= 0.01 else f"{length * 1000:g} mm"
    x, y = width - pixels - 6, height - 6
    return (
        f'<path class="bar" d="M{x:.1f} {y - 4}v4h{pixels:.1f}v-4"/>'
        f'<text x="{x + pixels / 2:.1f}" y="{y - 6}" text-anchor="middle">{text}</text>'
    )
