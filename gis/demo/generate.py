"""Makes one superblock."""

from __future__ import annotations

from gis.demo.admin import add_admin
from gis.demo.base import add_base
from gis.demo.cadastre import add_cadastre
from gis.demo.drainage import add_drainage
from gis.demo.features import Features
from gis.demo.plan import Plan
from gis.demo.power import add_power
from gis.demo.telecom import add_telecom
from gis.demo.underground import add_underground
from gis.demo.water import add_water

#: All layers that the demo fills; a small one may leave some of them empty.
LAYERS = (
    "admin_city", "admin_ward", "admin_district_old",
    "cadastre_parcel", "cadastre_boundary_point", "cadastre_building",
    "base_road", "base_railway", "base_waterway", "base_waterbody", "base_building", "base_contour",
    "base_spot_height", "base_landuse", "base_place",
    "telecom_cable", "telecom_duct", "telecom_chamber", "telecom_pole", "telecom_mast", "telecom_cabinet",
    "telecom_camera", "telecom_post_office",
    "power_line", "power_support", "power_substation", "power_switch", "power_cabinet", "power_meter",
    "power_corridor",
    "water_pipe", "water_valve", "water_hydrant", "water_meter", "water_facility", "water_dma",
    "drainage_conduit", "drainage_manhole", "drainage_inlet", "drainage_outfall", "drainage_channel",
    "drainage_basin", "drainage_facility", "drainage_catchment", "flood_spot",
    "underground_tunnel", "underground_trench", "underground_duct", "underground_structure",
)  # fmt: skip


def make(plan: Plan, index: int, out: Features | None = None) -> Features:
    """All features of the superblock of that number, in local metres; added to ``out`` where given."""
    block = plan.superblock(index)
    out = Features() if out is None else out
    add_admin(out, plan, block)
    add_base(out, plan, block)
    add_cadastre(out, block)
    add_drainage(out, plan, block)
    add_water(out, plan, block)
    add_power(out, plan, block)
    add_telecom(out, block)
    add_underground(out, plan, block)
    return out
