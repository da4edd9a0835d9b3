# Shared by the scripts: installs what is missing, once, and says what it does. Sourced, not run.
# shellcheck shell=bash
set -euo pipefail

CALLER="$PWD"
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"
TOOLS="$ROOT/.tools"
VENV="$ROOT/.venv"

say() { printf '\033[1m· %s\033[0m\n' "$*" >&2; }
die() { printf 'bandoso: %s\n' "$*" >&2; exit 1; }

# Another user's checkout: nothing can be installed in it, and nothing of it may be cleared away.
[ -w "$ROOT" ] || die "this user may not write to the checkout; run as its owner, or install the wheel (docs/operators.md)"
mkdir -p .cache

# as_root COMMAND...: as root, or by sudo where the user is not root.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "this step needs root: run as root, or install sudo: $*"; fi
}

APT_UPDATED=
apt_install() {
    command -v apt-get >/dev/null || die "install these packages by hand, this system has no apt-get: $*"
    if [ -z "$APT_UPDATED" ]; then
        as_root apt-get update -qq >/dev/null || say "apt-get update failed; trying with the known package lists"
        APT_UPDATED=1
    fi
    say "installing $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
        >.cache/apt.log 2>&1 || { tail -20 .cache/apt.log >&2; die "apt-get install $* failed"; }
}

# stamped NAME KEY: true when the step NAME was done for exactly this KEY (see stamp).
stamped() { [ "$(cat ".cache/$1.stamp" 2>/dev/null)" = "$2" ]; }
stamp() { printf '%s' "$2" >".cache/$1.stamp"; }
digest() { cat "$@" | sha256sum | cut -d' ' -f1; }

has_postgis() { compgen -G '/usr/share/postgresql/*/extension/postgis.control' >/dev/null; }

# PostgreSQL with PostGIS: the newest that the distribution has. Its own cluster is not created,
# because bandoso runs a server of its own on a socket of its own.
ensure_postgis() {
    has_postgis && return
    [ -n "${BANDOSO_DSN:-}" ] && return
    command -v apt-get >/dev/null || die "install PostgreSQL 15 or newer with PostGIS 3.3 or newer, or give --dsn"
    as_root apt-get update -qq >/dev/null || true
    APT_UPDATED=1
    local version
    for version in 18 17 16 15; do
        if apt-cache show "postgresql-$version-postgis-3" >/dev/null 2>&1; then
            if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
                as_root mkdir -p /etc/postgresql-common
                echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
            fi
            apt_install "postgresql-$version" "postgresql-$version-postgis-3"
            has_postgis || die "PostGIS was installed, but its control file is not where it should be"
            return
        fi
    done
    die "this system's packages have no PostGIS for PostgreSQL 15 or newer; give a server with --dsn"
}

runs_312() { "$1" -c 'import sys, venv; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; }

# An interpreter that really runs and is 3.12 or newer. Version managers' shims often do not run,
# therefore each candidate is tried. Prints nothing when there is none.
find_python() {
    local candidate
    for candidate in ${BANDOSO_PYTHON:-} python3.13 python3.12 python3.14 python3 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python; do
        candidate="$(command -v "$candidate" 2>/dev/null || true)"
        if [ -n "$candidate" ] && runs_312 "$candidate"; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
}

ensure_uv() {
    local key; key="$(digest scripts/uv.lock.txt)"
    [ -x "$TOOLS/bin/uv" ] && stamped uv "$key" && return
    local python; python="$(find_python)"
    [ -n "$python" ] || python="$(command -v python3 || true)"
    if [ -z "$python" ] || ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        apt_install python3 python3-venv
        python="$(command -v python3)"
    fi
    say "installing uv"
    rm -rf "$TOOLS"
    "$python" -m venv "$TOOLS"
    "$TOOLS/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r scripts/uv.lock.txt
    stamp uv "$key"
}

# ensure_python LOCK: the environment .venv with the packages of LOCK. Others already there stay, so
# that running scripts/run after scripts/test does not take the test tools away.
ensure_python() {
    local lock="$1" key name
    name="$(basename "$lock" .lock)"
    ensure_uv
    if ! { [ -x "$VENV/bin/python" ] && runs_312 "$VENV/bin/python"; }; then
        local python; python="$(find_python)"
        rm -rf "$VENV"; rm -f .cache/requirements*.stamp
        say "creating the Python environment"
        # Without an interpreter here, uv brings one.
        "$TOOLS/bin/uv" venv --quiet --python "${python:-3.12}" "$VENV"
    fi
    key="$(digest "$lock")"
    stamped "$name" "$key" && return
    say "installing Python packages ($name)"
    "$TOOLS/bin/uv" pip install --quiet --compile-bytecode --python "$VENV/bin/python" --require-hashes -r "$lock"
    stamp "$name" "$key"
}

ensure_page() { PATH="$VENV/bin:$PATH" "$VENV/bin/python" scripts/build_page.py; }

ensure_browser() {
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || apt_install chromium
}
