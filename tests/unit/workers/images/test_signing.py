"""Content Credentials of our own: verifiers accept them, they say what was done to what, and are cheap."""

from __future__ import annotations

import hashlib
import shlex
import sys
import time
import zlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from models.results import Provenance
from tests.credentials import (
    COMPOSITE,
    MADE,
    MEDIA_TYPES,
    SIGN,
    Identity,
    identity,
    is_valid,
    judged,
    picture,
    provider,
    with_credentials,
)  # fmt: skip
from tests.hostile import manifests
from tests.stack import crowding
from tests.words import unsaid
from workers.config import extras
from workers.config.settings import Settings, SettingsError
from workers.config.signing import Signing
from workers.images import verifier
from workers.images.credentials import credentials_of
from workers.images.originals import without
from workers.images.provenance import SOURCE_TYPES
from workers.images.results import Made, SigningError, made_of
from workers.images.signing import RELEASE, Signer
from workers.images.storage import Storage, key_of
from workers.images.verifier import CONTEXT, Reviewed
from workers.images.verify import verify

FORMATS = pytest.mark.parametrize("format_", MEDIA_TYPES)
KINDS = pytest.mark.parametrize("kind", SOURCE_TYPES)
MOST_BYTES = 16 * 1024  # for the credentials of one picture
MOST_SECONDS = 0.006  # of CPU to sign a picture of 1024 x 1024


@pytest.fixture(scope="module")
def we() -> Identity:
    return identity("Our Studio")


@pytest.fixture(scope="module")
def settings(we: Identity, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    certificate, key = we.write(tmp_path_factory.mktemp("keys"))
    return Settings(c2pa_certificate=certificate, c2pa_key=key)


@pytest.fixture(scope="module")
def signer(settings: Settings) -> Signer:
    return Signer(settings)


def signed(signer: Signer, data: bytes, kind: str = "swap", release: str | None = None) -> Made:
    made = made_of(data, kind, mark=True, signs=True)
    term = str(made.source_type)
    file = signer.sign(made.file.data, made.picture.media_type, term, parent=made.parent, release=release)
    return made.signed(file, signer.name(made.original.sha256, term, release))


def active(found: Mapping[str, Any] | None) -> Mapping[str, Any]:
    assert found is not None
    manifest: Mapping[str, Any] = found["manifests"][found["active_manifest"]]
    return manifest


def actions(manifest: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    (found,) = [item["data"]["actions"] for item in manifest["assertions"] if item["label"].startswith("c2pa.actions")]
    return [(action["action"], action.get("digitalSourceType")) for action in found]


@FORMATS
@KINDS
@pytest.mark.parametrize("by_provider", [True, False])
def test_a_signed_picture_is_valid_and_says_what_was_done(
    signer: Signer, we: Identity, format_: str, kind: str, by_provider: bool
) -> None:
    media_type = MEDIA_TYPES[format_]
    data = with_credentials(picture(format_), media_type) if by_provider else picture(format_)
    made = signed(signer, data, kind, "release 17")

    assert is_valid(made.file.data, media_type, we)
    assert (made.provenance, made.source_type) == (Provenance.SIGNED, SOURCE_TYPES[kind])
    found = judged(made.file.data, media_type, we)
    manifest = active(found)
    edit = kind == "swap" or by_provider
    expected = [("c2pa.opened", None), ("c2pa.edited", SOURCE_TYPES[kind])] if edit else [("c2pa.created", MADE)]
    assert actions(manifest) == expected
    assert [item["relationship"] for item in manifest.get("ingredients", [])] == ["parentOf"] * edit
    (release,) = [item["data"] for item in manifest["assertions"] if item["label"] == RELEASE]
    assert release == {"alg": "sha256", "hash": hashlib.sha256(b"release 17").hexdigest()}
    assert b"release 17" not in made.file.data
    if by_provider:
        before = found["manifests"][manifest["ingredients"][0]["active_manifest"]]  # type: ignore[index]
        assert before["signature_info"]["common_name"] == "Test Provider"
    assert verify(made.file.data) == verify(data)
    assert made.mark is None or without(made.mark, made.file.data) == data


@FORMATS
@KINDS
@pytest.mark.parametrize("by_provider", [True, False])
def test_a_copy_says_the_verdict_about_a_signed_picture(
    signer: Signer, we: Identity, format_: str, kind: str, by_provider: bool
) -> None:
    """Given a signed picture, when a person has decided about it, then a copy says so, and all else as before."""
    media_type = MEDIA_TYPES[format_]
    data = with_credentials(picture(format_), media_type) if by_provider else picture(format_)
    made = signed(signer, data, kind)
    said = Reviewed(made.file.sha256, "approved", "2026-11-30T08:00:00+00:00", "reviewer")
    copy = signer.reviewed(made.file.data, media_type, str(made.source_type), said)

    assert is_valid(copy, media_type, we)
    found = judged(copy, media_type, we)
    manifest = active(found)
    assert actions(manifest) == [("c2pa.opened", None), ("recast.reviewed", SOURCE_TYPES[kind])]
    (parent,) = manifest["ingredients"]
    before = found["manifests"][parent["active_manifest"]]  # type: ignore[index]
    assert actions(before) == actions(active(judged(made.file.data, media_type, we)))
    told = verifier.judged(copy, media_type)
    assert told is not None
    assert (told.valid, told.reviewed) == (True, said)
    assert credentials_of(copy, media_type).source_type == SOURCE_TYPES[kind]  # type: ignore[union-attr]
    assert verify(copy) == verify(data)
    stored = verifier.judged(made.file.data, media_type)
    assert stored is not None
    assert stored.reviewed is None


@pytest.mark.parametrize(
    "wrong", [{"verdict": "perfect"}, {"role": "Anna"}, {"at": "yesterday"}, {"picture": "1"}, {"role": None}]
)
def test_a_verdict_that_we_would_not_write_is_none(signer: Signer, wrong: dict[str, Any]) -> None:
    made = signed(signer, picture("JPEG"))
    right = {"picture": "a" * 64, "verdict": "approved", "at": "2026-11-30T08:00:00+00:00", "role": "guest"}
    copy = signer.reviewed(made.file.data, "image/jpeg", COMPOSITE, Reviewed(**right | wrong))
    found = verifier.judged(copy, "image/jpeg")
    assert found is not None
    assert found.valid
    assert (found.reviewed is None) == (wrong != {"role": None}), "a role may be unknown"


@FORMATS
def test_a_parent_that_was_tampered_with_is_not_made_good(signer: Signer, we: Identity, format_: str) -> None:
    """Given credentials of a provider that are invalid, when the result is signed, then ours say so of the parent."""
    media_type = MEDIA_TYPES[format_]
    other = with_credentials(picture(format_, seed=1), media_type)
    found = credentials_of(other, media_type)
    assert found is not None
    data = bytearray(with_credentials(picture(format_), media_type))
    at = data.index(b"trainedAlgorithmicMedia")
    data[at] ^= 1
    if format_ == "PNG":
        data = bytearray(_mended(bytes(data)))
    made = signed(signer, bytes(data))
    manifest = active(judged(made.file.data, media_type, we))
    results = manifest["ingredients"][0]["validation_results"]["activeManifest"]
    assert results["failure"] != []


def _mended(data: bytes) -> bytes:
    at = data.index(b"caBX") - 4
    end = at + 12 + int.from_bytes(data[at : at + 4], "big")
    return data[: end - 4] + zlib.crc32(data[at + 4 : end - 4]).to_bytes(4, "big") + data[end:]


@pytest.mark.heavy
@FORMATS
def test_credentials_that_nobody_can_read_do_not_keep_a_picture_from_being_signed(
    signer: Signer, we: Identity, format_: str
) -> None:
    name = {"JPEG": "JPEG", "PNG": "PNG", "WEBP": "WebP"}[format_]
    for case, (makes, _) in manifests.STORES.items():
        if not any(word in case for word in ("MB", "million", "100,000")):  # which take seconds, and add nothing here
            made = signed(signer, manifests.FILES[name](*makes()))
            assert is_valid(made.file.data, MEDIA_TYPES[format_], we), case


def test_a_command_signs_in_place_of_a_key(settings: Settings, we: Identity, tmp_path: Path) -> None:
    (tmp_path / "sign.py").write_text(SIGN)
    command = shlex.join([sys.executable, str(tmp_path / "sign.py"), str(settings.c2pa_key)])
    signer = Signer(settings.model_copy(update={"c2pa_key": None, "c2pa_sign_command": command}))
    made = signed(signer, picture("JPEG"))
    assert is_valid(made.file.data, "image/jpeg", we)

    (tmp_path / "sign.py").unlink()
    with pytest.raises(SigningError) as caught:
        signed(signer, picture("JPEG"))
    assert unsaid(str(caught.value), "RECAST_C2PA_SIGN_COMMAND", "2") == []


def test_storing_twice_is_one_file(signer: Signer, tmp_path: Path) -> None:
    """Given that no two signatures are alike, when a picture is signed twice, then the first file stays."""
    storage, data = Storage(str(tmp_path / "pictures")), picture("PNG")
    first, second = signed(signer, data), signed(signer, data)
    assert first.file.data != second.file.data
    assert first.file.name == second.file.name
    stored = [storage.put_first(made.file.data, sha256=str(made.file.name), suffix="png") for made in (first, second)]
    assert stored == [first.file.data] * 2
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 1
    assert storage.find(key_of(str(first.file.name), "png")) == first.file.data
    others = [signer.name(first.original.sha256, COMPOSITE, release) for release in (None, "a", "b")]
    assert len({*others, signer.name(first.original.sha256, MADE, None)}) == 4


def problem(tmp_path: Path, by: Identity, **more: Any) -> str:
    certificate, key = by.write(tmp_path / "theirs")
    with pytest.raises(SettingsError) as caught:
        Signer(Signing(**{"c2pa_certificate": certificate, "c2pa_key": key} | more))
    return str(caught.value)


def test_what_cannot_sign_is_said_before_anything_is_paid(
    we: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = identity(since=timedelta(days=-20), until=timedelta(days=-10))
    future = identity(since=timedelta(days=10), until=timedelta(days=20))
    swapped = Identity(we.certificate, provider().key, we.authority)
    nonsense = Identity("none", we.key, we.authority)
    name = "RECAST_C2PA_CERTIFICATE"
    assert unsaid(problem(tmp_path, past), name, "ended") == []
    assert unsaid(problem(tmp_path, future), name, "begins") == []
    assert unsaid(problem(tmp_path, swapped), name, "key") == []
    assert unsaid(problem(tmp_path, nonsense), name, "PEM") == []
    assert unsaid(problem(tmp_path, we, c2pa_key=tmp_path / "none"), "RECAST_C2PA_KEY", "No such file") == []
    assert unsaid(problem(tmp_path, we, c2pa_key=None, c2pa_sign_command="/no/such"), "RECAST_C2PA_SIGN_COMMAND") == []
    assert (
        unsaid(problem(tmp_path, we, c2pa_key=None, c2pa_sign_command="false"), "RECAST_C2PA_SIGN_COMMAND", "1") == []
    )
    leaf = Identity(we.authority, we.key, we.authority)  # an authority's own certificate signs no pictures
    assert unsaid(problem(tmp_path, leaf), name) == []
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    assert unsaid(problem(tmp_path, we), name, "c2pa", "pip install") == []


@pytest.mark.parametrize(
    "given",
    [
        {"c2pa_key": Path("-----BEGIN PRIVATE KEY-----\\nMIGHcanary")},  # the key, where its path belongs
        {"c2pa_certificate": Path("canary/of/a/path")},
        {"c2pa_key": None, "c2pa_sign_command": "canary --pin canary"},
        {"c2pa_key": None, "c2pa_sign_command": "sign 'canary"},
        {"c2pa_key": None, "c2pa_sign_command": f"{sys.executable} -c 'raise SystemExit(\"canary\")'"},
    ],
)
def test_no_secret_of_a_signer_that_is_wrong_is_told(given: dict[str, Any], we: Identity, tmp_path: Path) -> None:
    (name,) = [name for name, value in given.items() if value is not None]
    told = problem(tmp_path, we, **given)
    assert unsaid(told, f"RECAST_{name.upper()}") == []
    assert "canary" not in told


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"c2pa_certificate": "c"}, "RECAST_C2PA_KEY, RECAST_C2PA_SIGN_COMMAND"),
        ({"c2pa_certificate": "c", "c2pa_key": "k", "c2pa_sign_command": "s"}, "RECAST_C2PA_KEY, both"),
        ({"c2pa_key": "k"}, "RECAST_C2PA_KEY, RECAST_C2PA_CERTIFICATE"),
        ({"c2pa_sign_command": "s"}, "RECAST_C2PA_SIGN_COMMAND, RECAST_C2PA_CERTIFICATE"),
        ({"c2pa_certificate": "c", "c2pa_key": "k", "mark_synthetic": False}, "RECAST_MARK_SYNTHETIC"),
    ],
)
def test_a_half_of_the_settings_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as caught:
        Settings(**given)
    assert unsaid(str(caught.value), *says.split(", ")) == []


@pytest.mark.long
def test_signing_is_cheap(signer: Signer) -> None:
    """The mean of the three formats, each with credentials of its provider; so is a copy that says a verdict."""
    said = Reviewed("a" * 64, "approved", "2026-11-30T08:00:00+00:00", "reviewer")
    spent, spent_again = 0.0, 0.0
    for format_, media_type in MEDIA_TYPES.items():
        data = with_credentials(picture(format_, 1024), media_type)
        made = made_of(data, "swap", mark=True, signs=True)
        best, again = [], []
        for _ in range(5):
            began = time.thread_time()
            file = signer.sign(made.file.data, media_type, COMPOSITE, parent=made.parent)
            best.append(time.thread_time() - began)
            began = time.thread_time()
            copy = signer.reviewed(file, media_type, COMPOSITE, said)
            again.append(time.thread_time() - began)
        spent, spent_again = spent + min(best), spent_again + min(again)
        assert len(file) - len(made.file.data) < MOST_BYTES
        assert len(copy) - len(made.file.data) < MOST_BYTES
    assert spent / len(MEDIA_TYPES) < MOST_SECONDS * crowding()
    assert spent_again / len(MEDIA_TYPES) < MOST_SECONDS * crowding()


def test_nothing_is_fetched_for_a_picture() -> None:
    assert CONTEXT["verify"]["remote_manifest_fetch"] is False
    assert CONTEXT["verify"]["ocsp_fetch"] is False
