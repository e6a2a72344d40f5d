"""Hostile addresses, all given to one store pump."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.hostile import urls
from tests.hostile.cases import Fate
from tests.hostile.pictures import JPEG
from tests.hostile.saving import body, file_server, paid_for, save_all
from tests.words import unsaid

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

_getaddrinfo = socket.getaddrinfo


def resolve(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
    """What the zone of whoever wrote the URL says."""
    name = host.decode() if isinstance(host, bytes) else host
    if name not in urls.NAMES:
        return _getaddrinfo(host, port, *rest, **more)
    return [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, int(port), 0, 0))
        if ":" in address
        else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port)))
        for address in urls.NAMES[name]
    ]


def test_hostile_addresses_are_refused_and_do_no_harm_to_each_other(
    database: Database, make_runtime: RuntimeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with file_server() as files, file_server() as inside:
        inside.offer("/inside", body(JPEG))
        runtime = make_runtime({"max_result_bytes": urls.LIMIT}, main={"allow_hosts": [f"127.0.0.1:{files.port}"]})
        jobs = {}
        for number, case in enumerate(urls.CASES):
            jobs[case.name] = paid_for(database, [{"url": case.make(files, f"/{number}")}])
            jobs[f"beside {case.name}"] = paid_for(database, [{"url": files.offer(f"/{number}/good", JPEG)}])
        save_all(database, runtime)
        asked = [path for path in files.asked if "inside" in path] + inside.asked
    ends = {
        row.id: row
        for row in database.sql(
            "SELECT j.id, j.state, j.reason, coalesce(j.error, a.error) AS error FROM jobs j"
            " JOIN attempts a ON a.job_id = j.id"
        )
    }

    assert asked == []
    problems = {}
    for case in urls.CASES:
        end = ends[jobs[case.name]]
        as_told = (end.state == "succeeded") == (case.fate is Fate.SURVIVED)
        if not as_told or (case.fate is Fate.REFUSED and unsaid(end.error, *case.facts)):
            problems[case.name] = (end.state, end.error)
        if ends[jobs[f"beside {case.name}"]].state != "succeeded":
            problems[f"beside {case.name}"] = ends[jobs[f"beside {case.name}"]]
    assert problems == {}
