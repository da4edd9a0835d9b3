"""What the reading child gives up before it looks at a delivered file (Linux).

Limits on memory, processor time, file size and open files always; then, as far as the kernel has them:
an empty network namespace, Landlock (the child sees only the delivery, its own work folder and the
program), and a seccomp filter (no sockets, no other programs, no tracing). A file that makes GDAL run an
attacker's code finds nothing to reach.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
#: What libraries and the interpreter read beside the program.
_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/null", "/dev/urandom")
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446


@dataclass(frozen=True)
class Limits:
    """Of one reading child. Address space and file sizes in bytes, times in seconds."""

    address_space: int = 6_000_000_000
    cpu_seconds: int = 3 * 3600
    file_size: int = 8_000_000_000
    open_files: int = 256
    #: The parent ends a child that says nothing for this long.
    silence_seconds: float = 300.0


def die_with_parent() -> None:
    """Have the kernel kill this process when the parent ends, however it ends."""
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() == 1:
        os._exit(1)


def limit(limits: Limits) -> None:
    """Set the resource limits; core dumps off."""
    for which, value in (
        (resource.RLIMIT_AS, limits.address_space),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))


def shut_in(readable: Iterable[Path], writable: Iterable[Path]) -> list[str]:
    """Close network, file system and system calls; gives the names of the walls that stand."""
    walls: list[str] = []
    with contextlib.suppress(OSError):
        os.unshare(os.CLONE_NEWNET)
        walls.append("network namespace")
    if _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        if _landlock(list(readable), list(writable)):
            walls.append("landlock")
        if _seccomp():
            walls.append("seccomp")
    return walls


def shut_in_program(parts: Iterable[Path], work: Path) -> None:
    """From here on a child sees the program, ``parts`` and its work folder, and no network."""
    program = [Path(p) for p in {sys.prefix, sys.base_prefix, str(Path(__file__).parents[2])}]
    shut_in([*program, *map(Path, _SYSTEM), *parts], [work])


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


# --- Landlock ------------------------------------------------------------------------------------

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_READ = _EXECUTE | _READ_FILE | _READ_DIR
#: File rights by the kernel's Landlock version; rights that a kernel does not know may not be asked for.
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_FILE_ONLY = _EXECUTE | _WRITE_FILE | _READ_FILE | (1 << 14)


def _landlock(readable: list[Path], writable: list[Path]) -> bool:
    libc = _libc()
    libc.syscall.restype = ctypes.c_long
    abi = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if abi < 1:
        return False
    rights = max(v for k, v in _RIGHTS_BY_ABI.items() if k <= abi)
    attributes = struct.pack("=Q", rights)
    if abi >= 4:
        attributes += struct.pack("=Q", 3)  # TCP bind and connect: no rule allows any
    if abi >= 6:
        attributes += struct.pack("=Q", 3)  # abstract Unix sockets and signals stay inside
    ruleset = libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    try:
        for paths, granted in ((readable, _READ), (writable, rights)):
            for path in paths:
                _allow(libc, ruleset, path, granted & rights)
        return bool(libc.syscall(_LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0)) == 0)
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            rights &= _FILE_ONLY
        rule = struct.pack("=Qi", rights, fd)
        libc.syscall(_LANDLOCK_ADD, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint32(0))
    finally:
        os.close(fd)


# --- seccomp -------------------------------------------------------------------------------------

#: machine -> (audit architecture, number of seccomp(2), calls that answer EACCES).
#: socket, connect, socketpair, execve, execveat, ptrace, process_vm_readv, process_vm_writev, io_uring_setup,
#: bpf, kill, keyctl, pidfd_open, pidfd_getfd
_CALLS = {
    "x86_64": (0xC000003E, 317, (41, 42, 53, 59, 322, 101, 310, 311, 425, 321, 62, 250, 434, 438)),
    "aarch64": (0xC00000B7, 277, (198, 203, 199, 221, 281, 117, 270, 271, 425, 280, 129, 219, 434, 438)),
}


def _seccomp() -> bool:
    known = _CALLS.get(platform.machine())
    if known is None:
        return False
    architecture, call, denied = known
    load, jump_equal, jump_from, answer = 0x20, 0x15, 0x35, 0x06
    allow, errno_eacces, kill = 0x7FFF0000, 0x00050000 | 13, 0x80000000
    program = [(load, 0, 0, 4), (jump_equal, 1, 0, architecture), (answer, 0, 0, kill), (load, 0, 0, 0)]
    # x86's second numbering (x32) of the same calls would slip past the list.
    program.append((jump_from, len(denied) + 1, 0, 0x40000000))
    for index, number in enumerate(denied):
        program.append((jump_equal, len(denied) - index, 0, number))
    program += [(answer, 0, 0, allow), (answer, 0, 0, errno_eacces)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    filter_ = struct.pack("@HP", len(program), ctypes.addressof(code))
    libc = _libc()
    libc.syscall.restype = ctypes.c_long
    mode_filter, flag_all_threads = 1, 1
    done = libc.syscall(call, ctypes.c_uint(mode_filter), ctypes.c_uint(flag_all_threads), filter_)
    return bool(done == 0)
