"""Addresses of pages that ask for what there is not."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hostile.cases import Fate
from tests.hostile.queries import AREAS, BATCH, JOB
from tests.web.client import Client
from tests.web.shop import AUTH, settings, stock
from tests.words import unsaid
from web.app import build
from workers.images.storage import Storage

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]


def test_what_no_page_can_show_is_refused_with_what_is_allowed(database: Database, tmp_path: Path) -> None:
    chosen = settings(database, tmp_path)
    batch = stock(database, Storage(chosen.storage))
    with Client(build(chosen), AUTH) as client:
        for case in AREAS[0].cases:
            path = str(case.make()).replace(BATCH, str(batch)).replace(JOB, "job-00000")
            answer = client.get(path)
            assert answer.status_code == (400 if case.fate is Fate.REFUSED else 200), case.name
            if case.fate is Fate.REFUSED:
                assert unsaid(unescape(answer.text), *case.facts) == [], case.name
