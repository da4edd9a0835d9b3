"""Which bands of a file become which bands of a layer, by the layer's kind; and pixels read accordingly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp, MaskFlags

from gis.errors import LoadRefused

Pixels = npt.NDArray[Any]

#: What stands for "no height" where the file has no value for it, or one that is a possible height.
VOID = -9999.0


@dataclass(frozen=True)
class Plan:
    """``indexes``: bands to read (from 1). ``table``: a palette's colours (256, 4), or None."""

    indexes: tuple[int, ...]
    bands: int
    dtype: str
    #: A palette's colours, or greys of a picture of 1 to 4 bits.
    table: Pixels | None = None
    #: The value that the file has where it has none.
    nodata: float | None = None
    #: Whether the file tells its valid pixels by a mask or an alpha band.
    masked: bool = False

    @property
    def exact(self) -> bool:
        """Whether values mean nothing between each other, so that no mean of them may be taken."""
        return self.table is not None


def plan_of(source: Any, kind: str, nodata: float | None) -> Plan:
    """How to read a file for a layer of this kind. Raises LoadRefused when it cannot be one."""
    types = set(source.dtypes)
    alpha = [i for i, what in enumerate(source.colorinterp, 1) if what == ColorInterp.alpha]
    indexes = tuple(i for i in source.indexes if i not in alpha)
    given = source.nodata if nodata is None else nodata
    mask = bool(alpha) or any(MaskFlags.per_dataset in flags for flags in source.mask_flag_enums)
    if kind == "elevation":
        if len(indexes) != 1:
            raise LoadRefused(
                f"an elevation model has one band, and the file has {len(indexes)}",
                code="wrong-bands",
                hint="is it an orthophoto?",
            )
        if source.colorinterp[indexes[0] - 1] == ColorInterp.palette or types & {"uint8", "int8"}:
            raise LoadRefused(
                "the file's values are colours or bytes, not heights",
                code="wrong-values",
                hint="an elevation model has heights in metres, of 16 bits or more",
            )
        if any(name.startswith("complex") for name in types):
            raise LoadRefused("the file's values are complex numbers, not heights", code="wrong-values")
        return Plan(indexes, 1, "float32", nodata=given, masked=mask)
    if types != {"uint8"}:
        raise LoadRefused(
            f"the file's values are {', '.join(sorted(types))}, and pictures have 8 bits",
            code="wrong-values",
            hint="make an 8-bit copy with the contrast you want (gdal_translate -ot Byte -scale)",
        )
    if len(indexes) == 1:
        table = _table(source, indexes[0])
        if table is not None:
            grey = bool((table[:, 0] == table[:, 1]).all() and (table[:, 1] == table[:, 2]).all())
            return Plan(indexes, 1 if grey else 3, "uint8", table, given, mask)
        return Plan(indexes, 1, "uint8", nodata=given, masked=mask)
    if len(indexes) < 3:
        raise LoadRefused(
            f"a picture has 1, 3 or 4 bands, and the file has {len(indexes)}", code="wrong-bands"
        )
    # A fourth band that is not alpha is near infrared: maps show the first three.
    return Plan(indexes[:3], 3, "uint8", nodata=given, masked=mask)


def _table(source: Any, index: int) -> Pixels | None:
    """Value -> red, green, blue, alpha for palettes and pictures of less than 8 bits."""
    table = np.zeros((256, 4), dtype=np.uint8)
    if source.colorinterp[index - 1] == ColorInterp.palette:
        try:
            for value, colour in source.colormap(index).items():
                if 0 <= value < 256:
                    table[value] = colour
        except ValueError:
            raise LoadRefused("the file's palette is missing", code="damaged-file") from None
        return table
    bits = int(source.tags(index, ns="IMAGE_STRUCTURE").get("NBITS", "8"))
    if bits >= 8:
        return None
    most = (1 << bits) - 1
    table[: most + 1, :3] = (np.arange(most + 1) * 255 // most)[:, None]
    table[: most + 1, 3] = 255
    return table


def read(source: Any, plan: Plan, window: Any) -> tuple[Pixels, npt.NDArray[np.bool_]]:
    """Pixels (bands, rows, columns) of a window, and where they are valid (rows, columns)."""
    values = source.read(indexes=list(plan.indexes), window=window)
    valid = source.dataset_mask(window=window) > 0
    if plan.dtype == "float32":
        valid &= np.isfinite(values[0])
        if plan.nodata is not None and np.isfinite(plan.nodata):
            valid &= values[0] != values.dtype.type(plan.nodata)
        return values.astype(np.float32), valid
    if plan.nodata is not None and not plan.masked:
        valid &= ~(values == plan.nodata).all(axis=0)
    if plan.table is None:
        return values, valid
    colours = plan.table[values[0]]
    valid &= colours[..., 3] > 0
    return np.ascontiguousarray(np.moveaxis(colours[..., : plan.bands], -1, 0)), valid
