"""Run by the interpreter that has QGIS: opens a project and tells what QGIS made of it, as one JSON document.

Arguments: the project's file, then ids of layers to read features of. tests/api/test_qgis_project.py runs it.
"""

import json
import sys

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsExpression,
    QgsFieldConstraints,
    QgsProject,
    QgsVectorLayer,
    QgsVectorTileLayer,
)


def field_of(layer, name):
    index = layer.fields().indexFromName(name)
    if index < 0:
        return None
    setup = layer.editorWidgetSetup(index)
    constraints = layer.fieldConstraintsAndStrength(index)
    return {
        "alias": layer.attributeAlias(index),
        "widget": setup.type(),
        "config": setup.config(),
        "read_only": layer.editFormConfig().readOnly(index),
        "default": layer.defaultValueDefinition(index).expression(),
        "not_null": QgsFieldConstraints.ConstraintNotNull in constraints,
        "expression": layer.constraintExpression(index),
    }


def colour(symbol):
    # the last one is on top: a casing lies under it
    return symbol.symbolLayer(symbol.symbolLayerCount() - 1).color().name()


def vector(layer):
    renderer = layer.renderer()
    said = layer.labeling().settings().fieldName if layer.labeling() else None
    categories = renderer.categories() if renderer.type() == "categorizedSymbol" else []
    return {
        "valid": layer.isValid(),
        "name": layer.name(),
        "crs": layer.crs().authid(),
        "read_only": layer.readOnly(),
        "renderer": renderer.type(),
        "classes": [[c.value(), c.label(), colour(c.symbol())] for c in categories],
        "colour": colour(renderer.symbol()) if renderer.type() == "singleSymbol" else None,
        "label": said,
        "label_works": not QgsExpression(said).hasParserError() if said else None,
        "scale": layer.minimumScale() if layer.hasScaleBasedVisibility() else None,
        "fields": {f.name(): field_of(layer, f.name()) for f in layer.fields()},
    }


def point(source, destination, x, y, project):
    transform = QgsCoordinateTransform(
        QgsCoordinateReferenceSystem(source), QgsCoordinateReferenceSystem(destination), project
    )
    made = transform.transform(x, y)
    return [made.x(), made.y()]


def main():
    path, *wanted = sys.argv[1:]
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    project = QgsProject.instance()
    read = project.read(path)
    layers = project.mapLayers()
    snapping = project.snappingConfig()
    extent = project.viewSettings().defaultViewExtent()
    result = {
        "read": read,
        "error": project.error(),
        "title": project.title(),
        "crs": project.crs().authid(),
        "to_wgs84": point("EPSG:9210", "EPSG:4326", 600000, 1190000, project),
        "from_crs84": point("OGC:CRS84", "EPSG:9210", 106.666128316, 10.759445635, project),
        "to_mercator": point("EPSG:9210", "EPSG:3857", 600000, 1190000, project),
        "groups": [group.name() for group in project.layerTreeRoot().children()],
        "vector": {key: vector(one) for key, one in layers.items() if isinstance(one, QgsVectorLayer)},
        "tiles": {
            key: [one.isValid(), len(one.renderer().styles()), len(one.labeling().styles()), one.opacity()]
            for key, one in layers.items()
            if isinstance(one, QgsVectorTileLayer)
        },
        "snapping": [
            snapping.enabled(),
            int(snapping.typeFlag()),
            snapping.tolerance(),
            int(snapping.units()),
        ],
        "topological": project.topologicalEditing(),
        "apart": [one.id() for one in project.avoidIntersectionsLayers()],
        "extent": [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()],
        "features": {},
    }
    for key in wanted:
        features = list(layers[key].getFeatures())
        result["features"][key] = [[f["asset_id"], f.geometry().centroid().asPoint().x()] for f in features]
    print(json.dumps(result, default=str))
    sys.stdout.flush()
    application.exitQgis()


main()
