"""``find``: how features of a layer are found by people who type a name, an address or a parcel's number."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from layers.basics import Identifier, Model

FindKind = Literal["parcel", "address", "asset", "ward", "ward_old", "street", "place"]


class FindDef(Model):
    """Fields by which features are found. Only public ones count, of public layers.

    ``names``, ``former``, ``streets`` and the streets of ``addresses`` are kept as a list of distinct names
    (gis.db.names), in which typing errors are forgiven: they are to be few to the number of features, or
    the layer small.
    """

    #: What a feature of the layer is to who looks for it.
    kind: FindKind = "asset"
    #: Fields with its names.
    names: tuple[Identifier, ...] = ()
    #: A field with the names and codes of what it was made of, with commas or semicolons between them.
    former: Identifier | None = None
    #: The field with the code of a ward: what ``units`` of others hold.
    code: Identifier | None = None
    #: Fields with the name of a street, and fields with a whole address ("12 Nguyễn Huệ, Phường Sài Gòn").
    streets: tuple[Identifier, ...] = ()
    addresses: tuple[Identifier, ...] = ()
    #: Fields with the number of the map sheet and the number on it, of a parcel.
    sheet: Identifier | None = None
    number: Identifier | None = None
    #: Fields with the code of the ward, the present one or the former.
    units: tuple[Identifier, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> FindDef:
        if (self.sheet is None) != (self.number is None):
            raise ValueError("find: sheet and number belong together")
        return self

    @property
    def listed(self) -> tuple[str, ...]:
        """The fields whose values are kept in the list of names."""
        former = (self.former,) if self.former else ()
        return (*self.names, *former, *self.streets, *self.addresses)

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields that it names."""
        single = tuple(name for name in (self.code, self.sheet, self.number) if name)
        return tuple(dict.fromkeys((*self.listed, *single, *self.units)))
