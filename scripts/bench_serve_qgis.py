"""QGIS Server as a peer of the bench of serving: its OGC API Features (WFS3) over the peers' table.

Debian's packages (qgis-server, python3-qgis) and nginx before them. QGIS itself makes the project, in
Debian's Python, so that nothing of it is guessed. The FastCGI processes share one listening socket, as
spawn-fcgi has it; nginx keeps its connections to them.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from scripts.bench_serve_peers import CannotBeHad, Peer, ready
from tests.api.process import free_port

#: Name of the collection.
COLLECTION = "parcel"

_PROGRAM = Path("/usr/lib/cgi-bin/qgis_mapserv.fcgi")

_PROJECT = """
import sys
from qgis.core import QgsApplication, QgsDataSourceUri, QgsProject, QgsVectorLayer
host, port, name, user, srid, path, title = sys.argv[1:]
application = QgsApplication([], False)
application.initQgis()
uri = QgsDataSourceUri()
uri.setConnection(host, port, name, user, "")
uri.setDataSource("peer", "parcel", "geom", "", "fid")
uri.setSrid(srid)
uri.setUseEstimatedMetadata(True)
layer = QgsVectorLayer(uri.uri(False), title, "postgres")
if not layer.isValid():
    sys.exit("QGIS cannot open the table")
layer.setShortName(title)
project = QgsProject.instance()
project.addMapLayer(layer)
project.setCrs(layer.crs())
project.writeEntry("WFSLayers", "/", [layer.id()])
project.writeEntry("WFSLayersPrecision", "/" + layer.id(), 7)
sys.exit(0 if project.write(path) else "the project cannot be written")
"""

_NGINX = """
worker_processes 1; pid {folder}/qgis-nginx.pid; error_log {folder}/qgis-nginx.err; daemon off;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_requests 1000000000;
  upstream qgis {{ server unix:{socket}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      fastcgi_pass qgis; fastcgi_keep_conn on; fastcgi_buffers 64 64k;
      fastcgi_param QUERY_STRING $query_string; fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param REQUEST_URI $request_uri; fastcgi_param SCRIPT_NAME ""; fastcgi_param PATH_INFO $uri;
      fastcgi_param SERVER_NAME 127.0.0.1; fastcgi_param SERVER_PORT {port};
      fastcgi_param SERVER_PROTOCOL $server_protocol;
    }}
  }}
}}
"""


def qgis_server(owner_dsn: str, folder: Path, workers: int, srid: int) -> Peer:
    """QGIS Server with so many processes. Raises CannotBeHad."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not _PROGRAM.exists() or not Path(nginx).exists():
        raise CannotBeHad("it is not installed (apt-get install qgis-server python3-qgis nginx-light)")
    parts = {k: str(v) for k, v in conninfo_to_dict(owner_dsn).items()}
    project = folder / "qgis" / "bench.qgs"
    project.parent.mkdir(exist_ok=True)
    settings = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))},
        "QT_QPA_PLATFORM": "offscreen",
        "HOME": str(project.parent),
        "XDG_RUNTIME_DIR": str(project.parent),
    }
    table = (parts["host"], parts.get("port", "5432"), parts["dbname"], parts["user"], str(srid))
    made = subprocess.run(
        ["/usr/bin/python3", "-c", _PROJECT, *table, str(project), COLLECTION],
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise CannotBeHad(f"its project could not be made: {made.stderr.strip()[-300:]}")
    listening = socket.socket(socket.AF_UNIX)
    path = folder / "qgis.sock"
    path.unlink(missing_ok=True)
    listening.bind(str(path))
    path.chmod(0o666)  # nginx's workers have another account
    listening.listen(64)
    port = free_port()
    config = folder / "qgis-nginx.conf"
    config.write_text(_NGINX.format(folder=folder, socket=path, port=port))
    settings |= {"QGIS_PROJECT_FILE": str(project), "QGIS_SERVER_LOG_LEVEL": "2"}
    log = (folder / "qgis.log").open("wb")
    processes = [
        subprocess.Popen([str(_PROGRAM)], stdin=listening.fileno(), env=settings, stdout=log, stderr=log)
        for _ in range(workers)
    ]
    listening.close()
    processes.append(subprocess.Popen([nginx, "-c", str(config)], stderr=subprocess.DEVNULL))
    peer = Peer("QGIS Server", f"http://127.0.0.1:{port}", processes)
    return ready(peer, f"/wfs3/collections/{COLLECTION}/items.json?limit=1")
