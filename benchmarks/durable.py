"""The setup and start of DBOS: the benchmark's side of `benchmarks.contestants.dbos_idiomatic`."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping, Sequence

from dbos import DBOS, DBOSClient, EnqueueOptions
from sqlalchemy import text

from benchmarks.contestants.dbos_idiomatic import NAME, QUEUE, WORKFLOW
from benchmarks.lineup import FINISHED_ROWS, Feed, Stage, environment_of, make_table
from models.connection import make_engine

_WAITING = text("SELECT count(*) FROM dbos.workflow_status WHERE status = 'ENQUEUED'")


class Dbos:
    """`benchmarks.contestants.dbos_idiomatic`, with as many processes as there are cores."""

    name = "dbos"
    finished = FINISHED_ROWS
    producer = ""
    outstanding = 0
    without: Sequence[str] = ()

    #: Workflows that wait: more than are taken in the second between two looks at the queue.
    BACKLOG = 500

    def __init__(self, processes: int) -> None:
        self.title = f"DBOS, {processes} processes"
        self._processes = processes

    def prepare(self, stage: Stage) -> Feed:
        """Make its tables and DBOS's, and enqueue the first workflows; further ones follow as they are used up."""
        make_table(stage)
        DBOS.migrate(stage.urls.database)
        client = DBOSClient(system_database_url=stage.urls.database, application_name=NAME)
        engine = make_engine(stage.urls.database)

        def feed() -> None:
            with engine.begin() as connection:
                for _ in range(self.BACKLOG - connection.execute(_WAITING).scalar_one()):
                    job_id = str(uuid.uuid4())
                    options: EnqueueOptions = {"workflow_name": WORKFLOW, "queue_name": QUEUE, "workflow_id": job_id}
                    client.enqueue_in_transaction(connection, options, job_id)

        feed()
        return feed

    def command(self) -> list[str]:
        """Its processes as one program, so that their CPU time is counted together."""
        worker = [sys.executable, "-m", "benchmarks.contestants.dbos_idiomatic"]
        return [sys.executable, "-m", "benchmarks.several", str(self._processes), *worker]

    def environment(self, stage: Stage) -> Mapping[str, str]:
        """The addresses of the servers and of the provider."""
        return environment_of(stage)
