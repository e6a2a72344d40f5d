"""What Recast makes is its owner's alone, whatever the umask; what a person asks for is as the person's umask says."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from structlog.testing import capture_logs

from catalog.mistakes import write_mistakes
from devstack.home import Home
from reports.places import Folder, Picture
from workers import open_folders, private
from workers.images.storage import Storage


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """A person whose files all may read, and a process that has not begun."""
    before = os.umask(0o022)
    private.begin.cache_clear()
    yield
    os.umask(before)
    private.begin.cache_clear()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder to which all may come; pytest's are closed."""
    with TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def too_open(folder: Path) -> dict[str, str]:
    """What others may do anything with, in a folder and everything in it."""
    found = [folder, *folder.rglob("*")]
    return {str(path): oct(mode(path)) for path in found if mode(path) & private.OTHERS}


def stored(root: Path, data: bytes = b"one") -> tuple[Storage, str]:
    storage = Storage(str(root))
    return storage, storage.put(data, sha256=hashlib.sha256(data).hexdigest(), suffix="png")


def test_folders_and_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    private.write(private.folder(tmp_path / "a" / "b") / "file", "x")
    stored(tmp_path / "c" / "pictures")
    home = Home(tmp_path / "d" / "home")
    home.prepare()
    home.ensure_password()
    assert {**too_open(tmp_path / "a"), **too_open(tmp_path / "c"), **too_open(tmp_path / "d")} == {}


def test_everything_is_private_from_the_beginning_of_a_program(tmp_path: Path) -> None:
    private.begin()
    (tmp_path / "by another").mkdir()
    (tmp_path / "by another" / "library").write_text("x")
    assert too_open(tmp_path / "by another") == {}


def test_a_written_file_replaces_an_open_one_and_a_part_that_was_left(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("old")
    path.with_name(f"state.{threading.get_native_id()}.partial").write_text("left")
    private.write(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


def test_threads_that_write_one_file_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "state"

    def write(number: int) -> None:
        for _ in range(200):
            private.write(path, str(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert path.read_text() in set("0123")
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


# --- Those of earlier versions ------------------------------------------------------------------------------------


def test_an_open_home_is_closed_with_one_line_and_once(place: Path) -> None:
    home = Home(place / "home")
    for name in ("valkey", "logs", "pictures"):
        (home.folder / name).mkdir(parents=True)
    with capture_logs() as said:
        home.prepare()
        home.prepare()
    assert [line["event"] for line in said] == ["folders_closed"]
    assert (said[0]["folder"], said[0]["number"]) == (str(home.folder), 4)
    assert too_open(home.folder) == {}


def test_an_open_storage_is_closed(place: Path) -> None:
    stored(place / "pictures")
    (place / "pictures").chmod(0o755)
    with capture_logs() as said:
        Storage(str(place / "pictures"))
    assert (mode(place / "pictures"), len(said)) == (0o700, 1)


def test_what_lies_in_a_closed_folder_is_closed_without_a_word(place: Path) -> None:
    stored(place / "home" / "pictures")
    (place / "home" / "pictures").chmod(0o755)
    with capture_logs() as said:
        Storage(str(place / "home" / "pictures"))
    assert (mode(place / "home" / "pictures"), said) == (0o700, [])


def test_a_folder_that_is_not_ours_stays_as_it_is(place: Path) -> None:
    stored(place / "site")
    (place / "site" / "index.html").touch()
    shared = place / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (place / "site").chmod(0o755)
    with capture_logs() as said:
        Storage(str(place / "site"))
        open_folders.close(shared)
        open_folders.close(place / "missing")
    assert (mode(place / "site"), mode(shared), said) == (0o755, 0o1777, [])


@pytest.mark.parametrize("inside", [("etc.d",), ("pictures", "src"), ()])
def test_a_home_that_is_somebody_else_s_folder_stays_as_it_is(place: Path, inside: tuple[str, ...]) -> None:
    home = place / "project"
    for name in inside:
        (home / name).mkdir(parents=True)
    home.mkdir(exist_ok=True)
    (home / "a file").touch()
    open_folders.close_home(home)
    assert (mode(home), {mode(home / name) for name in inside if name not in open_folders.HOME_FOLDERS} - {0o755}) == (
        0o755, set(),
    )  # fmt: skip
    assert not (home / "pictures").exists() or mode(home / "pictures") == 0o700


def test_a_home_that_is_a_file_keeps_its_permissions(place: Path) -> None:
    (place / "shadow").touch()
    (place / "shadow").chmod(0o644)
    open_folders.close_home(place / "shadow")
    open_folders.close(place / "shadow")
    assert mode(place / "shadow") == 0o644


def test_a_home_that_a_server_of_another_user_passes_through_is_not_closed_again(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    home.folder.chmod(0o711)
    home.prepare()
    assert mode(home.folder) == 0o711


# --- What a person asks for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("umask", "folder", "file"), [(0o022, 0o755, 0o644), (0o027, 0o750, 0o640)])
def test_exports_follow_the_persons_umask_and_open_no_file_of_ours(
    tmp_path: Path, umask: int, folder: int, file: int
) -> None:
    os.umask(umask)
    private.begin()
    storage, key = stored(tmp_path / "pictures")
    made = Folder(tmp_path / "out", storage)
    made.prepare()
    assert made.put([Picture("a/one.png", key, hashlib.sha256(b"one").hexdigest(), 3)]) == 1
    write_mistakes(tmp_path / "mistakes.csv", [])
    assert [mode(tmp_path / "out"), mode(tmp_path / "out" / "a")] == [folder, folder]
    assert [mode(tmp_path / "out" / "a" / "one.png"), mode(tmp_path / "mistakes.csv")] == [file, file]
    assert (tmp_path / "out" / "a" / "one.png").read_bytes() == b"one"
    assert too_open(tmp_path / "pictures") == {}
    (tmp_path / "after").touch()
    assert mode(tmp_path / "after") == 0o600


def test_the_persons_umask_is_known_without_being_changed() -> None:
    assert private.persons_umask() == 0o022
    private.begin()
    assert private.persons_umask() == 0o022
    assert os.umask(0o077) == 0o077
