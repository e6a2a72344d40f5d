"""A catalog that tests write and enqueue again and again, on a database of its own."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import text

from catalog.enqueue import Enqueued, enqueue
from catalog.intake import Intake, take_in
from models.identity import client_reference
from reports.batch import find
from tests.unit.catalog import catalogs
from workers.config.accounts import Account
from workers.engine.runtime import Runtime
from workers.jobs.routing import Reach
from workers.jobs.run_options import RunOptions

REACH = Reach(public_url=True, presigned=False)
swap, portrait = catalogs.swap, catalogs.portrait
_numbers = itertools.count(1)


class Desk:
    """A runtime on a database of its own, and a catalog that can be written and enqueued again and again."""

    def __init__(self, runtime: Runtime, folder: Path, woken: list[str]) -> None:
        self.runtime, self.folder, self.woken = runtime, folder, woken
        self.name = f"batch-{next(_numbers)}"
        catalogs.picture(folder / "a.png")
        catalogs.picture(folder / "b.png")

    def take(self, rows: list[dict[str, Any]], accounts: Mapping[str, Account] | None = None) -> Intake:
        path = catalogs.write_csv(self.folder / f"{self.name}.csv", rows)
        return take_in(path, accounts or self.runtime.accounts, REACH)

    def enqueue(self, rows: list[dict[str, Any]], **more: Any) -> Enqueued:
        with self.take(rows) as intake:
            return enqueue(self.runtime, intake, RunOptions(**more))

    def sql(self, statement: str, **parameters: Any) -> list[Any]:
        with self.runtime.engine.begin() as connection:
            result = connection.execute(text(statement), {"batch": self.name, **parameters})
            return list(result) if result.returns_rows else []

    def job(self, key: str) -> Any:
        (row,) = self.sql(
            "SELECT j.* FROM jobs j JOIN batches b ON b.id = j.batch_id WHERE b.name = :batch AND key = :key", key=key
        )
        return row

    def put(self, key: str, state: str, **columns: Any) -> None:
        """Have the job `key` stand in `state`, and the batch's counts with it."""
        job = self.job(key)
        assignments = "".join(f", {name} = :{name}" for name in columns)
        self.sql(f"UPDATE jobs SET state = :state{assignments} WHERE id = :id", state=state, id=job.id, **columns)  # noqa: S608
        self.sql(f"UPDATE batches SET {job.state} = {job.state} - 1 WHERE name = :batch")  # noqa: S608
        self.sql(f"UPDATE batches SET {state} = {state} + 1 WHERE name = :batch")  # noqa: S608

    def attempt(self, key: str, number: int, state: str, *pictures: str, **columns: Any) -> None:
        """Have an attempt on record, with results under these storage keys."""
        job = self.job(key)
        values = {
            "id": client_reference(job.id, number), "job_id": job.id, "number": number, "batch_id": job.batch_id,
            "account": "zhiqite-main", "operation": "zhiqite.swap", "state": state, "cost": Decimal("0.02"), **columns,
        }  # fmt: skip
        names = ", ".join(values)
        self.sql(
            f"INSERT INTO attempts ({names}, sent_at, deadline_at)"  # noqa: S608
            f" VALUES ({', '.join(f':{name}' for name in values)}, now(), now())",
            **values,
        )
        for index, picture in enumerate(pictures):
            self.sql(
                "INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)"
                " VALUES (:job, :attempt, :index, :key, 'ab', 3, 'image/png', 1, 1)",
                job=job.id,
                attempt=values["id"],
                index=index,
                key=picture,
            )

    def assert_counts_are_true(self) -> None:
        true = self.sql(
            "SELECT state, count(*) AS n FROM jobs JOIN batches b ON b.id = batch_id WHERE b.name = :batch"
            " GROUP BY state"
        )
        kept = self.runtime.db(find, self.name).counts
        assert {state: number for state, number in kept.items() if number} == {row.state: row.n for row in true}
