"""Where a catalog and its pictures come from: what moved, what another place has, and a source's own picture."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from catalog.enqueue import Enqueued, enqueue
from catalog.errors import SamePictureError
from catalog.folders import FoundRows
from catalog.intake import SPOOLED, take_in
from catalog.origin import OtherPlaceError
from tests.integration.catalog.desk import REACH, Desk, swap
from tests.unit.catalog import catalogs
from tests.words import names
from workers.jobs.run_options import RunOptions

pytest_plugins = ["tests.integration.database"]


def test_another_picture_under_the_same_name_is_a_change(desk: Desk) -> None:
    desk.enqueue([swap("1")])
    desk.put("1", "succeeded")
    catalogs.picture(desk.folder / "a.png", side=24)
    assert desk.enqueue([swap("1")]).changed == 1


def test_a_catalog_that_moved_leads_to_its_pictures_where_they_are_now(desk: Desk) -> None:
    desk.enqueue([swap("1")])
    desk.folder = desk.folder.rename(desk.folder.with_name(f"{desk.folder.name}-moved"))
    assert desk.enqueue([swap("1")]).unchanged == 1
    assert desk.job("1").source == str(desk.folder / "a.png")


def test_a_catalog_of_another_place_does_not_replace_a_batch_of_its_name(desk: Desk, tmp_path: Path) -> None:
    rows = [swap("1"), swap("2")]
    desk.enqueue(rows, max_cost=Decimal(1), label="theirs")
    ours, desk.folder = desk.folder, tmp_path / "another shop"
    for name in ("a.png", "b.png"):
        catalogs.picture(desk.folder / name, side=24)

    with pytest.raises(OtherPlaceError, match=names(desk.name, ours, desk.folder, "--name", "--moved")):
        desk.enqueue(rows, max_cost=Decimal(9), label="ours")
    with pytest.raises(OtherPlaceError):
        desk.enqueue([swap("3")])
    (batch,) = desk.sql("SELECT max_cost, label, place FROM batches WHERE name = :batch")
    assert (batch.max_cost, batch.label, batch.place) == (1, "theirs", str(ours / f"{desk.name}.csv"))
    assert desk.job("1").source == str(ours / "a.png")

    assert desk.enqueue(rows, moved=True).changed == 2
    assert desk.enqueue(rows).unchanged == 2, "the batch is that of the new place now"
    desk.folder = ours
    with pytest.raises(OtherPlaceError):
        desk.enqueue(rows)


def test_a_batch_without_a_known_place_takes_the_next_one(desk: Desk, tmp_path: Path) -> None:
    desk.enqueue([swap("1")])
    desk.sql("UPDATE batches SET place = NULL WHERE name = :batch")
    desk.folder = tmp_path / "another shop"
    for name in ("a.png", "b.png"):
        catalogs.picture(desk.folder / name, side=24)
    assert desk.enqueue([swap("1")]).changed == 1
    assert desk.sql("SELECT place FROM batches WHERE name = :batch") == [(str(desk.folder / f"{desk.name}.csv"),)]


def test_pictures_that_were_found_before_folders_could_move_stay_done(desk: Desk) -> None:
    catalogs.picture(desk.folder / "photos" / "1.png", side=20)

    def run() -> Enqueued:
        found = FoundRows(str(desk.folder / "photos"), [str(desk.folder / "a.png")], cross=False)
        with take_in(found, desk.runtime.accounts, REACH, name=desk.name) as intake:
            former = [
                line.split(b"\t")[SPOOLED.index("former")].decode() for line in b"".join(intake.chunks()).splitlines()
            ]
            desk.sql("UPDATE jobs SET fingerprint = :former WHERE fingerprint = 'as before'", former=former[0])
            return enqueue(desk.runtime, intake, RunOptions())

    assert run().new == 1
    desk.sql("UPDATE jobs SET fingerprint = 'as before' WHERE key = '1.png' AND batch_id = "
             "(SELECT id FROM batches WHERE name = :batch)")  # fmt: skip
    assert run().unchanged == 1
    desk.folder = desk.folder.rename(desk.folder.with_name(f"{desk.folder.name}-moved"))
    assert run().unchanged == 1


def test_a_source_among_its_targets_is_not_paid_without_a_word(desk: Desk) -> None:
    photos = desk.folder / "photos"
    for number, side in enumerate((20, 24)):
        catalogs.picture(photos / f"{number}.png", side=side)

    def run(*, agreed: bool = False) -> Enqueued:
        with take_in(
            FoundRows(str(photos), [str(photos / "0.png")], cross=False), desk.runtime.accounts, REACH, name=desk.name
        ) as intake:
            if agreed:
                intake.same.clear()
            return enqueue(desk.runtime, intake, RunOptions())

    with pytest.raises(SamePictureError, match=names("0.png", "--same-picture")):
        run()
    assert desk.sql("SELECT 1 FROM jobs j JOIN batches b ON b.id = j.batch_id WHERE b.name = :batch") == []
    assert run(agreed=True).new == 2
    assert run().unchanged == 2, "what is done costs nothing"
