"""Accounts that offer a part of their provider's operations, and pictures that stand in options."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from catalog.checks import BadRowError, Checker
from catalog.columns import Row
from models.checks import CheckName
from recast.errors import InvalidJobError
from tests.words import names, unsaid
from workers.config import extras
from workers.config.account_values import AccountsError
from workers.config.accounts import Account, parse
from workers.jobs.lanes import lane_operation
from workers.jobs.request import JobRequest
from workers.jobs.routing import Reach, route

ZHIQITE: dict[str, Any] = {
    "provider": "zhiqite",
    "base_url": "http://127.0.0.1:9",
    "access_key_id": "id",
    "access_key_secret": "secret",
}
REACH = Reach(public_url=True, presigned=False)
HERE_ONLY = Reach(public_url=False, presigned=False)
URLS: dict[str, Any] = {"source": "https://o.example/a.png", "target": "https://o.example/b.png"}


def account(name: str = "main", **more: Any) -> Account:
    return parse(name, {**ZHIQITE, **more})


def test_an_account_offers_everything_unless_told_otherwise() -> None:
    assert list(account().operations) == ["zhiqite.swap", "zhiqite.swap_v2", "zhiqite.swap_faces"]


def test_the_providers_order_holds_whatever_the_files_is() -> None:
    assert list(account(operations=["swap_faces", "swap"]).operations) == ["zhiqite.swap", "zhiqite.swap_faces"]


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        (["sing"], names("accounts.main.operations", "sing", "swap", "swap_v2", "swap_faces")),
        (["zhiqite.swap"], names("operations", "zhiqite.swap", "swap", "swap_v2", "swap_faces")),
        ([], names("accounts.main.operations", "1")),
        ("swap", names("accounts.main.operations", "tuple")),
        ([7], names("accounts.main.operations.0", "string")),
    ],
)
def test_wrong_choices_are_named(operations: Any, message: str) -> None:
    with pytest.raises(AccountsError, match=message):
        account(operations=operations)


def test_the_allowed_settings_name_operations() -> None:
    with pytest.raises(AccountsError, match=names("check_face", "operations", "provider")) as caught:
        account(colour="red")
    assert "chosen" not in str(caught.value)


def test_a_budget_needs_the_prices_of_what_is_offered_and_no_others() -> None:
    money: dict[str, Any] = {"prices": {"swap": "0.02 USD"}, "budget": {"day": "5 USD"}}
    assert list(account(operations=["swap"], **money).operations) == ["zhiqite.swap"]
    with pytest.raises(AccountsError, match=names("swap_v2", "operations")):
        account(operations=["swap", "swap_v2"], **money)


def test_a_job_goes_only_where_its_operation_is_offered() -> None:
    known = {"one": account("one", operations=["swap_v2"]), "all": account("all")}
    lane = route(
        JobRequest("swap", **URLS, operation="zhiqite.swap_v2", options={"fidelity_weight": 0.5}), known, REACH
    )
    assert [lane_operation(lane, item) for item in known.values()] == ["zhiqite.swap_v2"] * 2
    lane = route(JobRequest("swap", **URLS), known, REACH)
    assert [lane_operation(lane, item) for item in known.values()] == [None, "zhiqite.swap"]
    with pytest.raises(InvalidJobError, match=names("zhiqite.swap", "zhiqite.swap_v2")):
        route(JobRequest("swap", **URLS, account="one", operation="zhiqite.swap"), known, REACH)


def test_face_checks_need_the_face_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert account(check_face=True).check_face
    there = importlib.util.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "cv2" else there(name))
    assert not account(check_face=False).check_face
    with pytest.raises(AccountsError, match=names("accounts.main.check_face", "pip install")):
        account(check_face=True)


def test_thresholds_of_checks_are_set_by_operation() -> None:
    own = account(checks={"swap": {"blurred": 0.9, "no_face": "off"}})
    assert own.thresholds("zhiqite.swap") == {CheckName.BLURRED: 0.9, CheckName.NO_FACE: None}
    assert own.thresholds("zhiqite.swap_v2") == account().thresholds("zhiqite.swap") == {}


@pytest.mark.parametrize(
    ("checks", "facts"),
    [
        ({"paint": {"blurred": 0.9}}, ("paint", "swap", "swap_v2")),
        ({"swap": {"ugly": 0.9}}, ("swap", "ugly", "blurred")),
        ({"swap": {"blurred": 1}}, ("swap.blurred", "1", "off")),
        ({"swap": {"blurred": True}}, ("swap.blurred", "True")),
        ({"swap": {"blurred": "much"}}, ("swap.blurred", "much", "off")),
        ({"swap": {"blurred": float("nan")}}, ("swap.blurred", "nan")),
        ({"swap": {"near_duplicate": 0.8}}, ("swap.near_duplicate", "0.8", "0.90625")),
        ({"swap": 0.9}, ("swap", "0.9", "blurred")),
        (0.9, ("0.9", "blurred")),
    ],
)
def test_a_threshold_that_is_not_allowed_is_named(checks: Any, facts: tuple[str, ...]) -> None:
    with pytest.raises(AccountsError, match=names("accounts.main.checks" if facts[0] != "paint" else "checks", *facts)):
        account(checks=checks)


# --- Pictures in options -------------------------------------------------------------------------------------------


def faces(**options: Any) -> JobRequest:
    return JobRequest("swap", **URLS, operation="zhiqite.swap_faces", options=options)


def test_a_second_source_is_judged_like_any_picture() -> None:
    known = {"main": account()}
    assert route(faces(second_source="https://o.example/c.png"), known, HERE_ONLY) == "zhiqite.swap_faces"
    assert route(faces(second_source="c.png"), known, REACH) == "zhiqite.swap_faces"
    with pytest.raises(InvalidJobError, match="RECAST_PUBLIC_URL") as caught:
        route(faces(second_source="c.png"), known, HERE_ONLY)
    assert caught.value.field == "options.second_source"
    with pytest.raises(InvalidJobError, match=names("ftp")) as caught:
        route(faces(second_source="ftp://o.example/c.png"), known, REACH)
    assert caught.value.field == "options.second_source"


def row(**options: Any) -> Row:
    return Row(2, {"key": "a", "kind": "swap", **URLS, "operation": "zhiqite.swap_faces", "options": options})


def test_a_catalogs_second_source_is_found_beside_it_and_its_changes_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "second.png"
    Image.new("RGB", (8, 8), "red").save(path)
    known = {"main": account()}
    entry = Checker(known, REACH, tmp_path).check(row(second_source="second.png", face_idx=2))
    assert entry.options == {"second_source": str(path), "face_idx": 2}
    Image.new("RGB", (9, 9), "blue").save(path)
    again = Checker(known, REACH, tmp_path).check(row(second_source="second.png", face_idx=2))
    assert again.fingerprint != entry.fingerprint


def test_a_catalogs_second_source_by_url_stays_as_it_is(tmp_path: Path) -> None:
    entry = Checker({"main": account()}, REACH, tmp_path).check(row(second_source="https://o.example/c.png"))
    assert entry.options == {"second_source": "https://o.example/c.png"}


def test_a_second_source_lies_beside_a_catalog_with_an_address() -> None:
    entry = Checker({"main": account()}, REACH, "https://shop.example/cat").check(row(second_source="c.png"))
    assert entry.options == {"second_source": "https://shop.example/cat/c.png"}


def test_a_second_source_that_is_not_there_is_a_mistake_of_its_row(tmp_path: Path) -> None:
    with pytest.raises(BadRowError) as caught:
        Checker({"main": account()}, REACH, tmp_path).check(row(second_source="none.png"))
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.column) == (2, "options.second_source")
    assert unsaid(mistake.message, "none.png") == []
