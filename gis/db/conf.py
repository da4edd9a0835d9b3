"""Configuration files of the embedded server, by the machine's memory and cores.

They lie in ``conf/`` of the data folder, outside PostgreSQL's own, and belong to the invoking user:
``postgresql.conf`` includes ``postgresql.bandoso.conf`` (written anew at each start) and then
``postgresql.custom.conf`` (the operator's, never touched).
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from gis.db.binaries import Account

OWNER = "bandoso"
APP = "bandoso_app"

MIB = 1024 * 1024

CUSTOM = """\
# Your own settings for the embedded PostgreSQL; they win over postgresql.bandoso.conf.
# Examples: shared_buffers = '8GB', wal_level = 'replica' with max_wal_senders = 4 for pg_basebackup.
"""


def memory() -> int:
    """Bytes of memory this process may use: the machine's, or its control group's if less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(name).read_text()))
        except (OSError, ValueError):
            continue
    return total


def server_settings(total: int, cores: int, logs: Path) -> dict[str, str]:
    """PostgreSQL settings for ``total`` bytes of memory shared with bandoso's own processes."""
    mib = total // MIB
    values = {
        "listen_addresses": "",  # no TCP port at all
        "unix_socket_permissions": "0700",
        "cluster_name": "bandoso",
        "max_connections": "100",
        "superuser_reserved_connections": "5",
        # memory
        "shared_buffers": f"{max(64, min(mib // 5, 4096))}MB",
        "effective_cache_size": f"{max(128, mib * 6 // 10)}MB",
        "work_mem": f"{max(4, min(mib // 400, 64))}MB",
        "maintenance_work_mem": f"{max(64, min(mib // 32, 512))}MB",
        "temp_file_limit": "20GB",
        # planning: SSDs, short queries, compiled expressions never pay for tiles and pages
        "random_page_cost": "1.1",
        "effective_io_concurrency": "100",
        "jit": "off",
        "max_worker_processes": str(max(8, cores)),
        "max_parallel_workers": str(cores),
        "max_parallel_workers_per_gather": str(max(1, min(4, cores // 2))),
        "max_parallel_maintenance_workers": str(max(1, min(4, cores // 2))),
        # safety first, then bulk loads: a COPY into a new table writes no WAL and is synced at commit
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "4GB",
        "min_wal_size": "256MB",
        "wal_buffers": "16MB",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
        "track_counts": "on",  # row counts of layers depend on it
        "autovacuum_vacuum_insert_scale_factor": "0.05",
        # a client that vanished, a transaction that was forgotten
        "client_connection_check_interval": "2s",
        "idle_in_transaction_session_timeout": "30min",
        # log: rotated by size, pruned by the keeper; values of parameters (citizens' data) stay out
        "logging_collector": "on",
        "log_directory": str(logs),
        "log_filename": "postgresql-%Y%m%d-%H%M%S.log",
        "log_file_mode": "0600",
        "log_rotation_size": "10MB",
        "log_rotation_age": "7d",
        "log_line_prefix": "%m [%p] %u@%d ",
        "log_min_duration_statement": "5s",
        "log_parameter_max_length": "0",
        "log_lock_waits": "on",
        "log_checkpoints": "off",
        "log_timezone": "UTC",
        # the same answers everywhere
        "timezone": "UTC",
        "datestyle": "ISO, YMD",
        "lc_messages": "C.UTF-8",
        "lc_monetary": "C.UTF-8",
        "lc_numeric": "C.UTF-8",
        "lc_time": "C.UTF-8",
        "default_text_search_config": "pg_catalog.simple",
    }
    if _small_shared_memory():  # containers give 64 MB, which parallel hash joins overrun
        values["dynamic_shared_memory_type"] = "mmap"
    return values


def _small_shared_memory() -> bool:
    try:
        shm = os.statvfs("/dev/shm")  # noqa: S108
    except OSError:
        return True
    return shm.f_frsize * shm.f_blocks < 512 * MIB


def write_configuration(folder: Path, account: Account, logs: Path) -> None:
    """Write the files that are missing or differ. Only ``account`` and the invoking user are let in."""
    cores = os.cpu_count() or 1
    settings = server_settings(memory(), cores, logs)
    lines = [f"{name} = {_quoted(value)}" for name, value in settings.items()]
    _write(
        folder / "postgresql.bandoso.conf", "# Written by bandoso at each start.\n" + "\n".join(lines) + "\n"
    )
    _write(
        folder / "postgresql.conf",
        "include 'postgresql.bandoso.conf'\ninclude_if_exists 'postgresql.custom.conf'\n"
        "hba_file = 'pg_hba.conf'\nident_file = 'pg_ident.conf'\n".replace(
            "'pg_", f"'{str(folder).replace(chr(39), chr(39) * 2)}/pg_"
        ),
    )
    if not (folder / "postgresql.custom.conf").exists():
        _write(folder / "postgresql.custom.conf", CUSTOM)
    _write(folder / "pg_hba.conf", "local all all peer map=bandoso\n")
    users = dict.fromkeys([pwd_name(os.geteuid()), account.name])
    _write(
        folder / "pg_ident.conf",
        "".join(f'bandoso "{user}" {role}\n' for user in users for role in (OWNER, APP)),
    )


def pwd_name(uid: int) -> str:
    """Name of a user, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _write(path: Path, text: str) -> None:
    if path.exists() and path.read_text() == text:
        return
    draft = path.with_name(path.name + ".new")
    draft.write_text(text)
    draft.chmod(0o644)  # the server's account reads it; nothing in it is secret
    draft.replace(path)
