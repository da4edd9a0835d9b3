"""Run by the interpreter that has QGIS: lists a server's collections and loads some, headless.

Prints one JSON document. Arguments: base URL, then collection ids to load. Not a test module itself;
tests/api/test_qgis.py runs it, because QGIS lives in the system's Python, not in the project's.
"""

import json
import sys
import urllib.request

from qgis.core import QgsApplication, QgsDataSourceUri, QgsFeatureRequest, QgsRectangle, QgsVectorLayer


def load(base: str, collection: str) -> dict:
    uri = QgsDataSourceUri()
    uri.setParam("url", base)
    uri.setParam("typename", collection)
    uri.setParam("srsname", "OGC:CRS84")
    uri.setParam("pagingEnabled", "default")
    layer = QgsVectorLayer(uri.uri(False), collection, "OAPIF")
    if not layer.isValid():
        return {"valid": False, "error": layer.error().summary()}
    features = list(layer.getFeatures())
    extent = layer.extent()
    around = features[0].geometry().boundingBox() if features else QgsRectangle()
    around.grow(1e-6)
    first = features[0].geometry().asWkt(6)[:80] if features else None
    return {
        "valid": True,
        "crs": layer.crs().authid(),
        "feature_count": layer.featureCount(),
        "read": len(features),
        "fields": [f.name() for f in layer.fields()],
        "first": first,
        "around_first": [f["asset_id"] for f in layer.getFeatures(QgsFeatureRequest(around))],
        "first_id": features[0]["asset_id"] if features else None,
        "extent": [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()],
    }


def main() -> None:
    base, *wanted = sys.argv[1:]
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    # QGIS lists collections from this document; its list widget has no headless interface.
    with urllib.request.urlopen(f"{base}/collections?f=json") as response:
        listed = [c["id"] for c in json.load(response)["collections"]]
    result = {"listed": listed, "layers": {name: load(base, name) for name in wanted}}
    print(json.dumps(result))
    sys.stdout.flush()
    application.exitQgis()


main()
