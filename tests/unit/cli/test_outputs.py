"""Places to write to are looked at before anything starts; nothing is left behind by the look."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from catalog.errors import CatalogError
from cli import summary
from cli.exit_codes import ExitCode
from cli.main import main
from cli.outputs import require_file, require_folder
from tests.stack import write_accounts
from tests.unit.catalog.catalogs import swap, write_csv
from tests.words import names, unsaid
from workers.config.settings import Settings


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_can_be_written_is_let_through_and_not_made(tmp_path: Path) -> None:
    require_file(Path("out.csv"), "--to")
    require_folder(Path("a/b/c"), "--pictures")
    require_folder(tmp_path, "--pictures")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for wrong in ("folder", "missing/out.csv"):
        with pytest.raises(CatalogError, match=names("--to", wrong)):
            require_file(Path(wrong), "--to")


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recast-pictures").write_text("a file")
    for wrong in ("recast-pictures", "recast-pictures/shoes"):
        with pytest.raises(CatalogError, match=names("--pictures", "recast-pictures")):
            require_folder(Path(wrong), "--pictures")


@pytest.mark.parametrize("require", [require_file, require_folder])
def test_without_permission_it_is_refused(require: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # whoever runs the tests may be root, who may write anywhere
    with pytest.raises(CatalogError, match=names("--to", "out.csv", "permission")):
        require(Path("out.csv"), "--to")  # type: ignore[operator]


def test_a_run_looks_at_its_folder_of_pictures_before_it_pays(tmp_path: Path) -> None:
    (tmp_path / "recast-pictures").write_text("a file")
    with pytest.raises(CatalogError, match=names("recast-pictures", "--no-wait")):
        summary.require_pictures_folder(Settings(_env_file=None), "shoes")
    summary.require_pictures_folder(Settings(_env_file=None, storage_url="s3://bucket"), "shoes")


def test_a_paid_check_looks_at_its_file_before_it_pays(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["accounts", "check", "main", "--paid", "--image", "a.png", "--to", "missing/out.json", "--yes"])
    assert code == 2
    assert unsaid("".join(capsys.readouterr()), "--to", "missing/out.json") == []


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (("run", "c.csv"), ("recast-pictures", "--no-wait")),
        (("export", "shoes", "--to", "missing/out.csv"), ("--to", "missing")),
        (("export", "shoes", "--pictures", "c.csv/pictures"), ("--pictures", "c.csv")),
    ],
    ids=" ".join,
)
def test_a_command_looks_at_its_places_before_it_looks_for_servers(
    folder: Path, arguments: tuple[str, ...], facts: tuple[str, ...], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    write_csv(folder / "c.csv", [swap("1")])
    (folder / "recast-pictures").write_text("a file")
    write_accounts(
        folder / "accounts.toml", {"main": {"provider": "zhiqite", "base_url": "http://127.0.0.1:9",
                                            "access_key_id": "k", "access_key_secret": "s"}}
    )  # fmt: skip
    monkeypatch.setenv("RECAST_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    monkeypatch.setenv("RECAST_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("RECAST_PUBLIC_URL", "http://127.0.0.1:1")
    assert main(arguments) == ExitCode.USAGE
    assert unsaid(capsys.readouterr().err, *facts) == []
