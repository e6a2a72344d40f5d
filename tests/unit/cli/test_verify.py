"""`recast verify` where no deployment is: what files say of themselves, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.exit_codes import ExitCode
from cli.main import main
from tests.credentials import COMPOSITE, MADE, MEDIA_TYPES, picture, with_credentials
from tests.words import unsaid
from workers.config import extras
from workers.images import verifier
from workers.images.provenance import marked

pytestmark = pytest.mark.usefixtures("folder")

FORMATS = pytest.mark.parametrize("format_", MEDIA_TYPES)


def told(capsys: pytest.CaptureFixture[str], data: bytes) -> tuple[int, str, dict[str, Any]]:
    """The exit code, the sentences and the JSON about a file."""
    Path("picture").write_bytes(data)
    code = main(("verify", "picture"))
    sentences = capsys.readouterr().out
    assert main(("verify", "picture", "--json")) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, " ".join(sentences.split()), document


@FORMATS
def test_valid_credentials_are_told_with_who_signed_them(capsys: pytest.CaptureFixture[str], format_: str) -> None:
    code, said, document = told(capsys, with_credentials(picture(format_), MEDIA_TYPES[format_]))
    assert code == ExitCode.OK
    assert unsaid(said, "valid", "Test Provider", "trainedAlgorithmicMedia") == []
    assert (document["verifier"]["valid"], document["credentials_state"], document["jobs"]) == (True, MADE, None)


@FORMATS
def test_a_changed_picture_is_told(capsys: pytest.CaptureFixture[str], format_: str) -> None:
    media_type = MEDIA_TYPES[format_]
    code, said, document = told(capsys, marked(with_credentials(picture(format_), media_type), media_type, COMPOSITE))
    assert code == ExitCode.JOBS_FAILED
    assert unsaid(said, "invalid", "dataHash") == []
    assert document["broken"] is True


@FORMATS
def test_a_mark_is_told(capsys: pytest.CaptureFixture[str], format_: str) -> None:
    code, said, document = told(capsys, marked(picture(format_), MEDIA_TYPES[format_], COMPOSITE))
    assert code == ExitCode.OK
    assert unsaid(said, "compositeWithTrainedAlgorithmicMedia") == []
    assert (document["credentials"], document["metadata_state"]) == (False, COMPOSITE)


@FORMATS
def test_that_nothing_is_known_is_told(capsys: pytest.CaptureFixture[str], format_: str) -> None:
    code, _, document = told(capsys, picture(format_))
    assert code == ExitCode.JOBS_FAILED
    assert (document["credentials"], document["metadata_state"], document["broken"]) == (False, None, False)


def test_without_the_extra_it_says_what_would_be_needed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifier, "missing", lambda _: "c2pa")
    assert extras.missing(("c2pa",)) == ""
    code, said, document = told(capsys, with_credentials(picture("PNG"), "image/png"))
    assert code == ExitCode.OK
    assert unsaid(said, "c2pa", "trainedAlgorithmicMedia") == []
    assert document["verifier"] is None


@pytest.mark.parametrize("data", [None, b"", b"<html>", picture("JPEG")[:100]], ids=["none", "empty", "page", "cut"])
def test_what_is_no_picture_is_refused(capsys: pytest.CaptureFixture[str], data: bytes | None) -> None:
    if data is not None:
        Path("odd").write_bytes(data)
    assert main(("verify", "odd")) == ExitCode.USAGE
    assert unsaid(capsys.readouterr().err, "odd") == []
