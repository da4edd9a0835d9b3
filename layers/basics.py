"""What the models of layer files are made of: identifiers, texts in two languages, colours, zooms."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

#: ``__`` is left to the names that are made of them (indexes, copies of tables).
IDENTIFIER = re.compile(r"(?=.{1,48}\Z)[a-z](?:_?[a-z0-9])*\Z")


def _identifier(value: str) -> str:
    if not IDENTIFIER.match(value):
        raise ValueError(
            f"{value[:60]!r} is not an identifier: a to z first, then a to z, 0 to 9 and single _, "
            "at most 48 characters"
        )
    return value


Identifier = Annotated[str, AfterValidator(_identifier)]
Zoom = Annotated[int, Field(ge=0, le=22)]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
#: A number, or a number by zoom (interpolated between the zooms given).
ByZoom = float | dict[Zoom, float]


class Model(BaseModel):
    """Strict base: an unknown key in a YAML file is an error, not a silent no-op."""

    model_config = ConfigDict(extra="forbid", frozen=True)


#: A text that is not blank and holds no control characters (it reaches HTML, styles and SQL comments).
Words = Annotated[
    str,
    Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"),
]


class Text(Model):
    """A text in both languages of the interface."""

    vi: Words
    en: Words


#: Values of a field that a selector compares with.
Values = tuple[str | bool | float, ...]


Access = Literal["public", "restricted", "confidential"]


class _Described(Protocol):
    @property
    def title(self) -> Text: ...
    @property
    def access(self) -> Access: ...


class Shown:
    """What a layer is to who looks at it, whether it is made of features or of pixels."""

    definition: _Described
    revealed: bool

    @property
    def title(self) -> Text:
        return self.definition.title

    @property
    def access(self) -> Access:
        return self.definition.access

    @property
    def is_public(self) -> bool:
        """Whether whom this is for may see the layer: anyone, unless it is revealing."""
        return self.revealed or self.definition.access == "public"
