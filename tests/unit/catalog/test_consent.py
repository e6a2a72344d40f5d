"""The reference of a model's release: who may insist on it; a missing one is told before anything is queued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalog.errors import BadRowsError
from catalog.intake import Intake, take_in
from recast.errors import InvalidJobError
from tests.unit.catalog.catalogs import accounts, picture, swap, write_csv
from tests.words import names, unsaid
from workers.jobs.request import MAX_CONSENT, JobRequest
from workers.jobs.routing import Reach, route
from workers.jobs.run_options import RunOptions

REACH = Reach(public_url=True, presigned=False)
ASKING = accounts("zhiqite", require_consent=True)
OTHERS = accounts("zhiqite")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    return tmp_path


def taken(folder: Path, *rows: dict[str, Any], known: Any = None, **options: Any) -> Intake:
    path = write_csv(folder / "c.csv", rows)
    return take_in(path, known or OTHERS, REACH, options=RunOptions(**options))


def refused(folder: Path, *rows: dict[str, Any], **more: Any) -> list[tuple[int, str, str]]:
    with pytest.raises(BadRowsError) as caught:
        taken(folder, *rows, **more)
    return [(mistake.line, mistake.column, mistake.message) for mistake in caught.value.mistakes]


def test_consent_is_metadata_that_comes_back(folder: Path) -> None:
    with taken(folder, swap("1", consent="release 17"), swap("2")) as intake:
        assert b'{"consent":"release 17"}' in b"".join(intake.chunks())


def test_consent_decides_nothing_of_the_picture(folder: Path) -> None:
    digests = []
    for consent in ("", "release 17", "release 18"):
        with taken(folder, swap("1", consent=consent)) as intake:
            digests.append(b"".join(intake.chunks()).split(b"\t")[13])
    assert len(set(digests)) == 1


@pytest.mark.parametrize("missing", ["", "   "])
def test_a_batch_may_insist(folder: Path, missing: str) -> None:
    rows = [swap("1", consent="r"), swap("2", consent=missing), swap("3", consent="r")]
    ((line, column, message),) = refused(folder, *rows, require_consent=True)
    assert (line, column) == (3, "consent")
    assert unsaid(message, "--require-consent") == []


def test_an_account_may_insist(folder: Path) -> None:
    rows = [swap("1", consent="r"), swap("2"), swap("3", consent="r")]
    ((line, column, message),) = refused(folder, *rows, known=ASKING)
    assert (line, column) == (3, "consent")
    assert unsaid(message, "zhiqite-main") == []
    with taken(folder, swap("1", consent="r"), known=ASKING) as intake:
        assert intake.rows == 1


def test_whoever_might_claim_the_job_is_asked() -> None:
    both = {"asking": ASKING["zhiqite-main"].model_copy(update={"name": "asking"}), **OTHERS}
    with pytest.raises(InvalidJobError, match=names("asking")):
        route(JobRequest("swap", "a.png", "b.png"), both, REACH)
    assert route(JobRequest("swap", "a.png", "b.png", account="zhiqite-main"), both, REACH)
    assert route(JobRequest("swap", "a.png", "b.png", consent="r"), both, REACH)


@pytest.mark.parametrize("consent", ["x" * (MAX_CONSENT + 1), "a\x00b", "two\nlines"])
def test_a_reference_that_is_none_is_refused(consent: str) -> None:
    with pytest.raises(InvalidJobError, match=names("consent")):
        route(JobRequest("swap", "a.png", "b.png", consent=consent), OTHERS, REACH)


def test_a_long_reference_is_refused_after_a_good_one(folder: Path) -> None:
    rows = [swap("1", consent="r"), swap("2", consent="x" * (MAX_CONSENT + 1))]
    assert [(line, column) for line, column, _ in refused(folder, *rows)] == [(3, "consent")]
