"""Storage: content-addressed, whole or not at all, and clear about what is wrong."""

from __future__ import annotations

import hashlib
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.words import names
from workers.images.storage import Storage, StorageError

DATA = b"\xff\xd8 not really a picture"
SHA = hashlib.sha256(DATA).hexdigest()
KEY = f"{SHA[:2]}/{SHA[2:4]}/{SHA}.jpg"


@pytest.fixture(params=["path", "file", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    urls = {"path": str(tmp_path / "new"), "file": f"file://{tmp_path}/new", "memory": f"memory://{uuid.uuid4()}"}
    return Storage(urls[request.param])


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_is_put_can_be_read(storage: Storage) -> None:
    storage.check_writable()
    assert storage.put(DATA, sha256=SHA, suffix="jpg") == KEY
    assert storage.get(KEY) == DATA
    assert storage.exists(KEY)
    with storage.open(KEY) as file:
        assert file.read() == DATA
    assert storage.url(KEY).endswith(f"/{KEY}")
    assert "://" in storage.url(KEY)
    assert storage.signed_url(KEY, timedelta(minutes=5)) is None


def test_the_same_content_is_written_once(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.put(DATA, sha256=SHA, suffix=".jpg")

    def refuse(*_: object) -> None:
        raise AssertionError("written again")

    monkeypatch.setattr(storage, "_write", refuse)
    assert storage.put(DATA, sha256=SHA, suffix="jpg") == KEY


def test_what_is_not_there_is_told(storage: Storage) -> None:
    storage.check_writable()
    assert not storage.exists(KEY)
    with pytest.raises(StorageError, match=names(KEY)):
        storage.get(KEY)
    with pytest.raises(StorageError, match=names(KEY)), storage.open(KEY):
        pass


def test_a_reader_s_own_error_is_not_the_storage_s(storage: Storage) -> None:
    storage.put(DATA, sha256=SHA, suffix="jpg")
    with pytest.raises(ZeroDivisionError), storage.open(KEY):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "key",
    [
        "",
        "../../etc/passwd",
        f"{SHA[:2]}/{SHA[2:4]}/../{SHA}.jpg",
        f"/{KEY}",
        f"00/00/{SHA}.jpg",
        f"{KEY}\n",
        f"{KEY}/..",
        KEY.upper(),
        f"{SHA[:2]}/{SHA[2:4]}/{SHA}",
        f"{SHA[:2]}/{SHA[2:4]}/{SHA}.jp%67",
    ],
)
def test_only_keys_are_keys(storage: Storage, key: str) -> None:
    for use in (storage.get, storage.exists, storage.url):
        with pytest.raises(StorageError, match="not a key"):
            use(key)
    with pytest.raises(StorageError, match="not a key"), storage.open(key):
        pass
    with pytest.raises(StorageError, match="not a key"):
        storage.signed_url(key, timedelta(minutes=1))


@pytest.mark.parametrize(
    ("sha256", "suffix"),
    [(SHA[:-1], "jpg"), (SHA.upper(), "jpg"), ("../" + SHA[3:], "jpg"), (SHA, ""), (SHA, "../x"), (SHA, "a/b")],
)
def test_only_hashes_and_suffixes_make_keys(storage: Storage, sha256: str, suffix: str) -> None:
    with pytest.raises(ValueError, match=names("sha256", "suffix")):
        storage.put(DATA, sha256=sha256, suffix=suffix)


def test_a_file_that_something_else_left_incomplete_is_replaced(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    (tmp_path / KEY).parent.mkdir(parents=True)
    (tmp_path / KEY).write_bytes(DATA[:5])
    storage.put(DATA, sha256=SHA, suffix="jpg")
    assert storage.get(KEY) == DATA


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    storage = Storage(str(tmp_path))
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StorageError, match="No space left"):
        storage.put(DATA, sha256=SHA, suffix="jpg")
    assert files(tmp_path) == []
    assert not storage.exists(KEY)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="which file a descriptor is, only Linux tells")
def test_a_file_is_moved_into_place_when_it_is_whole_and_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, bool]] = []
    real = os.fsync

    def watch(descriptor: int) -> None:
        opened = Path(f"/proc/self/fd/{descriptor}").readlink()
        seen.append((str(opened.relative_to(tmp_path)), (tmp_path / KEY).exists()))
        real(descriptor)

    storage = Storage(str(tmp_path))
    monkeypatch.setattr(os, "fsync", watch)
    storage.put(DATA, sha256=SHA, suffix="jpg")
    (temporary, in_place), *folders = seen
    assert temporary.startswith(f"{SHA[:2]}/{SHA[2:4]}/.{SHA}")
    assert not in_place
    assert folders == [(f"{SHA[:2]}/{SHA[2:4]}", True), (SHA[:2], True), (".", True)]
    assert files(tmp_path) == [KEY]


def test_many_threads_may_put_the_same_content(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: storage.put(DATA, sha256=SHA, suffix="jpg"), range(32)))
    assert keys == {KEY}
    assert files(tmp_path) == [KEY]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write"):
        Storage(str(tmp_path / "file" / "inside")).check_writable()


def test_a_storage_that_mangles_bytes_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))
    monkeypatch.setattr(storage, "_write", lambda path, _: Path(path).write_bytes(b"else"))
    with pytest.raises(StorageError, match=names("differ")):
        storage.check_writable()


def test_the_check_leaves_nothing(tmp_path: Path) -> None:
    Storage(str(tmp_path)).check_writable()
    assert files(tmp_path) == []


def test_a_storage_that_signs_gives_its_own_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))
    asked: list[Any] = []

    def sign(path: str, expiration: int) -> str:
        asked.append((path, expiration))
        return "https://bucket.example/signed"

    monkeypatch.setattr(storage._fs, "sign", sign)
    assert storage.signed_url(KEY, timedelta(minutes=10)) == "https://bucket.example/signed"
    assert asked == [(f"{tmp_path}/{KEY}", 600)]


def test_a_vendor_s_exception_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredentialsError(Exception):
        """As botocore's: no OSError."""

    def fail(_: str) -> bytes:
        raise NoCredentialsError("Unable to locate credentials")

    storage = Storage(str(tmp_path))
    monkeypatch.setattr(storage._fs, "cat_file", fail)
    with pytest.raises(StorageError, match=names("NoCredentialsError")):
        storage.get(KEY)


def test_a_missing_package_is_named_and_secrets_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "url_to_fs", missing)
    with pytest.raises(StorageError, match=names("pip install", "recast-server[s3]")) as caught:
        Storage("s3://key:secret@bucket/prefix?token=hidden")
    assert "s3://bucket/prefix" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_an_unknown_kind_of_storage_is_told() -> None:
    with pytest.raises(StorageError, match=names("storage")):
        Storage("carrier-pigeon://loft")
