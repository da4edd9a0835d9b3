"""The page of a PDF: its streams in order, its layers that viewers switch, and where on the ground it is."""

from __future__ import annotations

from collections.abc import Sequence

from gis.crs import spatial_ref_rows, transform_xy
from gis.print.palette import Palette
from gis.print.pdf import POINT, Ink, Pdf, colour, number_text, references, text_string
from gis.print.sheet import Ground, Rect
from gis.sheets import VN2000_GEOGRAPHIC


class Page:
    """One page; streams are written to the file as they come."""

    def __init__(self, pdf: Pdf, palette: Palette) -> None:
        self._pdf = pdf
        self.palette = palette
        self._contents: list[int] = []

    def begin(self, window: Rect, background: str) -> None:
        """Units for points, and the window of the map, which cuts what follows until ``end_map``."""
        unit = f"{POINT:.12f}"
        sides = " ".join(number_text(v) for v in (window.x, window.y, window.width, window.height))
        self._small(f"{unit} 0 0 {unit} 0 0 cm q {sides} re W n\nq {colour(background)}{sides} re f Q\n")

    def end_map(self) -> None:
        """What follows is not cut."""
        self._small("Q\n")

    def add(self, packed: Sequence[bytes], group: str = "") -> None:
        """Further streams; of a layer when ``group`` (Palette.group) is given."""
        streams = [one for one in packed if one]
        if not streams:
            return
        if group:
            self._small(f"/OC /{group} BDC\n")
        self._contents += [self._pdf.stream(one, packed=True) for one in streams]
        if group:
            self._small("EMC\n")

    def finish(
        self, width: float, height: float, title: str | None, language: str, ground: Ground | None = None
    ) -> None:
        """Write what the file still needs, and end it. ``ground``: so that viewers can measure in it."""
        pdf = self._pdf
        groups = list(self.palette.groups.values())
        resources = pdf.put(self.palette.resources())
        pages = pdf.number()
        sides = f"0 0 {number_text(width * POINT)} {number_text(height * POINT)}"
        place = _viewport(ground) if ground is not None else ""
        page = pdf.put(
            f"<</Type/Page/Parent {pages} 0 R/MediaBox[{sides}]/Resources {resources} 0 R"
            f"/Contents{references(self._contents)}{place}>>"
        )
        pdf.put(f"<</Type/Pages/Kids[{page} 0 R]/Count 1>>", pages)
        for number, name in groups:
            pdf.put(f"<</Type/OCG/Name{text_string(name)}>>", number)
        listed = references(number for number, _ in groups)
        optional = f"/OCProperties<</OCGs{listed}/D<</Order{listed}/ON{listed}>>>>" if groups else ""
        # PrintScaling: a print dialog that fits the page to its margins would make the scale untrue
        root = pdf.put(
            f"<</Type/Catalog/Pages {pages} 0 R/Lang({language}){optional}"
            "/ViewerPreferences<</PrintScaling/None/DisplayDocTitle true>>>>"
        )
        info = pdf.put(f"<</Title{text_string(title or '')}/Creator(bandoso)/Producer(bandoso)>>")
        pdf.finish(root, info)

    def _small(self, text: str) -> None:
        ink = Ink()
        ink.write(text)
        self._contents.append(self._pdf.stream(ink.close(), packed=True))


def _viewport(ground: Ground) -> str:
    """Where the map is (ISO 32000-2, 12.10): readers show coordinates, QGIS and GDAL open it in its place."""
    row = next((row for row in spatial_ref_rows() if row.srid == ground.crs), None)
    if row is None:
        return ""
    west, south, east, north = ground.box
    corners = [(west, south), (west, north), (east, north), (east, south)]
    lon, lat = transform_xy([x for x, _ in corners], [y for _, y in corners], ground.crs, VN2000_GEOGRAPHIC)
    pairs = " ".join(f"{a:.9f} {o:.9f}" for a, o in zip(lat.tolist(), lon.tolist(), strict=True))
    window = ground.window
    box = " ".join(number_text(v * POINT) for v in (window.x, window.y, window.right, window.top))
    text = row.srtext.replace("\\", "").replace("(", "\\(").replace(")", "\\)")
    return (
        f"/VP[<</Type/Viewport/BBox[{box}]/Measure<</Type/Measure/Subtype/GEO/Bounds[0 0 0 1 1 1 1 0]"
        f"/GPTS[{pairs}]/LPTS[0 0 0 1 1 1 1 0]/GCS<</Type/PROJCS/EPSG {ground.crs}/WKT({text})>>>>>>]"
    )
