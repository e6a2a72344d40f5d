"""Two people review 1,000 pictures at once, as their browsers do it: no verdict is lost or doubled, and none waits."""

from __future__ import annotations

import html
import json
import re
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from desk import people
from desk.actors import Actor
from devstack.ports import bind
from models.people import Role
from tests.http import Client, Response
from tests.integration.desk.pictures import made
from tests.integration.desk.test_reviewed import hear, told
from tests.stack import crowding, write_accounts
from tests.web.serving import serving
from tests.web.shop import settings
from web.app import build

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
pytestmark = pytest.mark.long

PICTURES = 1_000
P95_SECONDS = 0.1
PASSWORD = "correct horse battery"
NAMES = ("Anna", "Ben")


class Reviewer(threading.Thread):
    """A person at the review page: looks at what they are handed, says something, and goes on."""

    def __init__(self, base: str, batch: int, name: str) -> None:
        super().__init__()
        self._page, self._name = f"/batches/{batch}/review", name
        self._client = Client(base_url=base, timeout=30, follow_redirects=True)
        self.seconds: list[float] = []
        self.conflicts = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Review until nothing is left."""
        try:
            with self._client:
                self._sign_in()
                while self._decide():
                    pass
        except BaseException as error:
            self.failure = error
            raise

    def _sign_in(self) -> None:
        door = self._client.get("/sign-in").text
        (form,) = re.findall(r'name="form" value="(\w+)"', door)
        answer = self._post("/sign-in", {"name": self._name, "password": PASSWORD, "form": form})
        assert answer.status_code == 200

    def _decide(self) -> bool:
        page = self._client.get(self._page).text
        found = re.findall(r'<form class="judge".*?</form>', page, re.DOTALL)
        if not found:
            assert "Everything is reviewed" in page or "Nothing is left" in page
            # The other one may still have the last pictures open.
            return "Everything is reviewed" not in page
        fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', found[0]))
        given = {name: html.unescape(value) for name, value in fields.items()}
        verdict = "approved" if int(given["result"]) % 3 else "needs_work"
        began = time.perf_counter()
        answer = self._post(self._page, given | {"verdict": verdict, "request": f"{self._name} {given['result']}"})
        self.seconds.append(time.perf_counter() - began)
        self.conflicts += answer.status_code == 409
        assert answer.status_code in {200, 409}, answer.text
        return True

    def _post(self, path: str, fields: dict[str, str]) -> Response:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if path == self._page:
            headers["Accept"] = "application/json"
        return self._client.post(path, content=urlencode(fields), headers=headers)


def test_two_people_lose_and_double_nothing(database: Database, tmp_path: Path) -> None:
    hear(database)
    database.account()
    batch = made(database, PICTURES)
    for name in NAMES:
        database.run(people.add, Actor("root", Role.OPERATOR, "command"), name, Role.REVIEWER, PASSWORD)
    chosen = settings(database, tmp_path, web_auth=None)
    account = {"provider": "zhiqite", "base_url": "http://127.0.0.1:9", "access_key_id": "id",
               "access_key_secret": "secret", "prices": {"swap": "0.02 USD"}}  # fmt: skip
    write_accounts(chosen.accounts_file, {"main": account})
    database.sql("ANALYZE")
    listener = bind(None)
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with serving(build(chosen), listener):
        both = [Reviewer(base, batch, name) for name in NAMES]
        for each in both:
            each.start()
        for each in both:
            each.join(1_200)
    assert [each.failure for each in both] == [None, None]
    given = Counter(row.result_id for row in database.sql("SELECT result_id FROM verdicts"))
    assert len(given) == PICTURES, "none is lost"
    assert set(given.values()) == {1}, "none is doubled"
    wrong = database.one("SELECT count(*) FROM verdicts WHERE verdict = 'needs_work'")
    assert wrong == database.one("SELECT count(*) FROM results WHERE id % 3 = 0")
    assert len(told(database, "result.reviewed")) == PICTURES
    assert len(told(database, "batch.reviewed")) == 1
    took = sorted(second for each in both for second in each.seconds)
    p95 = took[int(len(took) * 0.95)]
    print(json.dumps({  # noqa: T201 - for the person who runs it
        "pictures": PICTURES, "conflicts": sum(each.conflicts for each in both),
        "by person": [len(each.seconds) for each in both],
        "p50 ms": round(took[len(took) // 2] * 1000, 1), "p95 ms": round(p95 * 1000, 1), "crowding": crowding(),
    }))  # fmt: skip
    assert min(len(each.seconds) for each in both) > PICTURES / 10, "both of them worked"
    assert p95 <= P95_SECONDS * crowding()
