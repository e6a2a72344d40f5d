"""The folder that holds an embedded stack: its data, its logs, its password, and who runs it now.

postgres/       PostgreSQL's data folder
valkey/         Valkey's append-only file
logs/           one log for each server, and that of the run before
password        of both servers, readable by its owner alone
run.json        the servers' ports and process ids
owner.lock      held by the process that started the servers
postgres.lock   held by PostgreSQL and its children; valkey.lock likewise
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from devstack.errors import ServerError
from workers import open_folders, private

PASSWORD_BYTES = 24  # of randomness: nobody guesses 192 bits


@dataclass(frozen=True, slots=True)
class Run:
    """What `run.json` says: the ports, which stay the same from run to run where they can, and the process ids.

    Process ids are 0 while the servers start and after they stopped.
    """

    postgres_port: int
    valkey_port: int
    postgres_pid: int = 0
    valkey_pid: int = 0

    @property
    def ready(self) -> bool:
        """Whether the servers were running when this was written."""
        return self.postgres_pid > 0 and self.valkey_pid > 0


class Home:
    """The folder and the small files in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().resolve()
        self.postgres = self.folder / "postgres"
        self.valkey = self.folder / "valkey"
        self.logs = self.folder / "logs"
        self.owner_lock = self.folder / "owner.lock"
        self.postgres_lock = self.folder / "postgres.lock"
        self.valkey_lock = self.folder / "valkey.lock"
        self._password = self.folder / "password"
        self._run = self.folder / "run.json"

    def prepare(self) -> None:
        """Make the folder, for its owner alone.

        Raises:
            ServerError: the folder cannot be created, or belongs to another user.
        """
        try:
            for folder in (self.valkey, self.logs):
                private.folder(folder)
            # The default home lies in a project's folder, where its data and password must not be committed.
            private.write(self.folder / ".gitignore", "*\n")
        except OSError as error:
            raise ServerError(
                f"The folder of the embedded servers cannot be written: {error}. Choose another one with RECAST_HOME."
            ) from error
        owner = self.folder.stat().st_uid
        if owner != os.geteuid():
            # Root could go on, and would leave files behind that the owner cannot use.
            raise ServerError(
                f"{self.folder} belongs to uid {owner}, this is uid {os.geteuid()}. "
                "Run as its owner or choose another folder with RECAST_HOME."
            )
        open_folders.close_home(self.folder)

    def log(self, name: str) -> Path:
        """The log of a server."""
        return self.logs / f"{name}.log"

    def rotate_logs(self) -> None:
        """Begin new logs and keep those of one run before."""
        for log in self.logs.glob("*.log"):
            log.replace(log.with_suffix(".log.1"))

    def password(self) -> str:
        """The password of both servers.

        Raises:
            ServerError: it is missing.
        """
        try:
            return self._password.read_text().strip()
        except FileNotFoundError as error:
            raise ServerError(
                f"{self._password} is missing, without which {self.postgres} cannot be opened. "
                "Restore it, or remove the whole folder to begin with nothing."
            ) from error

    def ensure_password(self) -> str:
        """The password, made up now if the home is new. For the owner only: two makers would disagree.

        Raises:
            ServerError: it is missing although there is data.
        """
        if self._password.exists() or self.postgres.exists():
            return self.password()
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        private.write(self._password, password)
        return password

    def read_run(self) -> Run | None:
        """The last run, or None when there was none or its file cannot be understood."""
        try:
            return Run(**{name: int(value) for name, value in json.loads(self._run.read_text()).items()})
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            return None

    def write_run(self, run: Run) -> None:
        """Replace `run.json`."""
        private.write(self._run, json.dumps(asdict(run)))
