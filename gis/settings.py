"""Settings of one run: where the data is, which city, how to serve. Read once, passed on.

Each setting is (name, default, one sentence); docs/operators.md lists them all, and a test holds that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from gis.city import City, load_city
from gis.errors import ConfigError
from gis.resources import config_dir
from layers.registry import Catalogue, CatalogueError, load_catalogue, load_standing

#: name -> (environment variable, sentence); defaults stand in Settings.
DESCRIPTIONS: dict[str, str] = {
    "data_dir": "Folder of the embedded PostGIS, of extra layer files (layers/*.yml) and of logs.",
    "dsn": "PostgreSQL connection string; when given, no embedded server is started.",
    "app_dsn": "Connection string of the serving role, when it is not that of dsn.",
    "city": "City file; the default is the shipped config/city.yml.",
    "tiles_dir": "Folder of tile archives; the default is tiles in data_dir.",
    "host": "Address to listen on.",
    "port": "Port to listen on.",
    "workers": "Server processes; 0 means one for each core, at most 4.",
    "public_url": "Address that links show, when bandoso stands behind a proxy.",
    "trusted_proxies": (
        "Addresses or networks of proxies whose X-Forwarded-For is believed, with commas between."
    ),
    "pool_size": "Database connections of each server process.",
    "edit_pool_size": "Database connections of each server process for edits.",
    "statement_timeout_ms": "Longest time of one query of a request.",
    "request_timeout_s": "Longest time to receive a request.",
    "max_body_bytes": "Largest request body.",
    "job_slots": "Jobs (checks over HTTP) that run at a time beside this server; 0 runs none here.",
    "job_queue": "Jobs that may wait; a further one is answered 503.",
    "job_client": "Unfinished jobs that one address may have without a steward's login.",
    "job_wait_s": "Longest time that a request waits for its job before it is told where to look.",
    "job_public_s": "Longest run of a job that was asked for without a steward's login.",
    "job_public_km2": "Largest area (km²) that anyone may check, and that is checked while one waits.",
    "job_keep_h": "Hours that finished jobs of stewards are kept; those of anyone are kept for one hour.",
    "oidc_issuer": "Issuer (iss) of the OIDC provider whose JWTs are taken; empty: none.",
    "oidc_audience": "The aud that such a token must have.",
    "oidc_jwks": "Where the provider's keys are: its JWKS address (https), or a file.",
    "feed_listeners": "Clients that may listen to the change feed of each server process; 0 lets nobody.",
    "feed_client": "Streams of the change feed that one address may hold of each server process.",
    "log_level": "debug, info, warning or error.",
}


def default_data_dir() -> Path:
    """/var/lib/bandoso for root, else $XDG_DATA_HOME/bandoso."""
    if os.geteuid() == 0:
        return Path("/var/lib/bandoso")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "bandoso"


@dataclass(frozen=True)
class Settings:
    """All settings; the environment variable of each is BANDOSO_ and its name in capitals."""

    data_dir: Path
    dsn: str = ""
    app_dsn: str = ""
    city: str = ""
    tiles_dir: str = ""
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 0
    public_url: str = ""
    trusted_proxies: str = ""
    pool_size: int = 8
    edit_pool_size: int = 4
    statement_timeout_ms: int = 15_000
    request_timeout_s: int = 30
    max_body_bytes: int = 10_000_000
    job_slots: int = 2
    job_queue: int = 20
    job_client: int = 3
    job_wait_s: int = 20
    job_public_s: int = 60
    job_public_km2: int = 4
    job_keep_h: int = 24
    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_jwks: str = ""
    feed_listeners: int = 200
    feed_client: int = 10
    log_level: str = "info"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **given: object) -> Settings:
        """From BANDOSO_* variables, overridden by the values in ``given`` that are not None."""
        env = os.environ if environ is None else environ
        values: dict[str, object] = {"data_dir": default_data_dir()}
        for f in fields(cls):
            text = env.get(f"BANDOSO_{f.name.upper()}")
            if text is not None and text != "":
                values[f.name] = _convert(f.name, text)
            if given.get(f.name) is not None:
                values[f.name] = _convert(f.name, given[f.name])
        return cls(**values)  # type: ignore[arg-type]

    def to_env(self) -> dict[str, str]:
        """The same settings as environment variables, for child processes."""
        return {f"BANDOSO_{f.name.upper()}": str(getattr(self, f.name)) for f in fields(self)}

    @property
    def tiles_folder(self) -> Path:
        """Where archives of tiles are (bandoso tiles build)."""
        return Path(self.tiles_dir) if self.tiles_dir else self.data_dir / "tiles"

    @property
    def rasters_folder(self) -> Path:
        """Where the files of raster layers are, a folder for each (bandoso load-raster)."""
        return self.data_dir / "rasters"

    def load_city(self) -> City:
        """The city's configuration."""
        return load_city(Path(self.city) if self.city else config_dir() / "city.yml")

    def layer_directories(self, city: City) -> tuple[Path, ...]:
        """Folders of layer files beside the shipped ones: the city's, then the operator's."""
        return (*city.layer_directories, self.data_dir / "layers")

    def load_catalogue(self, city: City) -> Catalogue:
        """The layer catalogue. Raises ConfigError naming file and place."""
        return self._read(load_catalogue, city)

    def load_standing(self, city: City) -> tuple[Catalogue, tuple[str, ...]]:
        """The layer catalogue without the operator's files that are wrong, and what is wrong with them: to
        be used, and never to be applied. Raises ConfigError when the shipped files are wrong."""
        return self._read(load_standing, city)

    def _read[T](self, load: Callable[[Iterable[Path], Iterable[str]], T], city: City) -> T:
        try:
            return load(self.layer_directories(city), city.agency_ids)
        except CatalogueError as error:
            raise ConfigError(str(error)) from error
        except OSError as error:
            raise ConfigError(
                f"the layer files cannot be read ({(error.strerror or 'no access').lower()})",
                hint="layers/ of the data folder must be readable for the user that runs bandoso",
            ) from error


def _convert(name: str, value: object) -> object:
    kind = {f.name: f.type for f in fields(Settings)}[name]
    try:
        if kind == "int":
            number = int(str(value))
            if number < 0:
                raise ValueError
            return number
    except ValueError:
        raise ConfigError(f"{name} must be a whole number, not {value!r}") from None
    if kind == "Path":
        return Path(str(value)).expanduser().absolute()
    return str(value)
