"""What a check suggests for a finding (gis.checks.model.Mend), as changes of features."""

from __future__ import annotations

from collections.abc import Sequence

from gis.checks.model import Mend
from gis.edit.model import Create, Delete, FeatureChange, Update
from gis.edit.operations.reading import Ground
from gis.edit.operations.standing import Note, Plan, Refused


def mend_finding(finding: str, ground: Ground) -> Plan:
    """The changes that a finding's mends propose, each based on its feature as it stands. Geometries are
    taken as the check made them, heights too, so nothing moves that the mend does not move.

    Raises Refused where nothing is suggested, and NotFoundError for a feature that is gone.
    """
    mends = ground.mends(finding)
    if not mends:
        raise Refused(
            "no mend is suggested for this finding, or it is mended already",
            code="no-mend",
            pointer="/finding",
            hint="a finding that has one links to it (rel related)",
        )
    changes: list[FeatureChange] = []
    notes: list[Note] = []
    for mend in mends:
        made, told = _changes(mend, ground)
        changes += made
        notes += told
    return Plan(changes, notes)


def _changes(mend: Mend, ground: Ground) -> tuple[Sequence[FeatureChange], Sequence[Note]]:
    layer = ground.setting.catalogue.layers[mend.layer]
    (standing,) = ground.named(layer, [(mend.fid, None, "/finding")])
    if mend.geometry is None:
        return [Delete(layer.id, mend.fid, standing.version)], []
    update = Update(layer.id, mend.fid, standing.version, geometry=mend.geometry)
    parts = [
        Create(layer.id, standing.copied(), part, placeholder=f"new:{mend.layer}-{mend.fid}-{number}")
        for number, part in enumerate(mend.split, start=2)
    ]
    told = "the parts of the split line have the attributes of the whole: look after lengths and levels"
    return [update, *parts], [Note("split", told, layer.id, mend.fid)] if parts else []
