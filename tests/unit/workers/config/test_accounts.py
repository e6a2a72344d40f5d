"""The accounts file: what it may hold, and errors that name the account, the field and what is allowed."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.config.accounts import AccountsError, duration, load, parse, price, rate

ZHIQITE: dict[str, Any] = {
    "provider": "zhiqite",
    "base_url": "http://127.0.0.1:9",
    "access_key_id": "id",
    "access_key_secret": "s3cr3t",
}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "accounts.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"provider": "nobody"}, r"accounts\.main\.provider: 'nobody' is unknown; allowed: hidream, piktid, .*zhiqite"),
        ({"provider": None}, r"accounts\.main\.provider: None is unknown"),
        ({"base_url": "ftp://x"}, r"accounts\.main\.base_url: 'ftp://x' must begin with http:// or https://"),
        ({"provider": "qolaba", "base_url": ""}, r"accounts\.main\.base_url: qolaba publishes no address"),
        ({"colour": "red"}, r"accounts\.main\.colour: unknown setting; allowed: access_key_id, .*base_url, .*rate"),
        ({"max_in_flight": 0}, r"accounts\.main\.max_in_flight: .*greater than or equal to 1"),
        ({"rate": "fast"}, r"accounts\.main\.rate: 'fast' is not a rate: write \"60/min\""),
        ({"rate": "0/min"}, r"accounts\.main\.rate: '0/min' is not a rate"),
        ({"poll_every": "3 fortnights"}, r"accounts\.main\.poll_every: '3 fortnights' is not a duration"),
        ({"poll_every": True}, r"accounts\.main\.poll_every: True is not a duration"),
        ({"deadline": -1}, r"accounts\.main\.deadline: .*greater than 0"),
        ({"submit_timeout": "1h"}, r"accounts\.main\.submit_timeout: .*less than or equal to 300"),
        ({"on_unknown": "shrug"}, r"accounts\.main\.on_unknown: .*'hold' or 'resubmit'"),
        ({"prices": {"swap": "2 cents"}}, r"accounts\.main\.prices\.swap: '2 cents' is not a valid amount; use a "),
        ({"prices": {"swap": "0.00001 USD"}}, r"accounts\.main\.prices\.swap: .*4 decimals"),
        ({"prices": {"swap": "2 USD/face"}}, r"accounts\.main\.prices\.swap: '2 USD/face' is not a valid amount"),
        ({"budget": {"day": "5 USD/picture"}}, r"accounts\.main\.budget\.day: '5 USD/picture' is not a valid amount"),
        ({"prices": {"swop": "1 USD"}}, r"accounts\.main: prices has 'swop', which zhiqite cannot do; allowed: swap, "),
        ({"order": -1}, r"accounts\.main\.order: .*greater than or equal to 0"),
        ({"budget": {"week": "5 USD"}}, r"accounts\.main\.budget\.week.*'day' or 'month'"),
        ({"budget": {"day": "5 USD"}}, r"accounts\.main: budget is set but prices has no entry for swap"),
        (
            {"budget": {"day": "5 EUR"}, "prices": {"swap": "1 USD"}},
            r"accounts\.main: prices and budget mix the currencies EUR, USD",
        ),
        ({"access_key_id": None}, r"accounts\.main\.access_key_id: is missing; write \"env:NAME\" or \"file:PATH\""),
        ({"access_key_id": "env:RECAST_NO_SUCH"}, r"access_key_id: the environment variable RECAST_NO_SUCH is not set"),
        ({"access_key_id": "file:/no/such/file"}, r"access_key_id: cannot read the credential from /no/such/file"),
        ({"base_url": "https://api.example"}, r"access_key_id: write \"env:NAME\" or \"file:PATH\"; a secret itself"),
        ({"access_key_id": ""}, r"accounts\.main\.access_key_id: .*at least 1"),
    ],
)
def test_a_mistake_is_named(change: dict[str, Any], message: str) -> None:
    table = {name: value for name, value in {**ZHIQITE, **change}.items() if value is not None}

    with pytest.raises(AccountsError, match=message) as caught:
        parse("main", table)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "Main", "-main", "a b", "a@b", "a" * 64, "ä"])
def test_names_are_safe_in_lanes_and_urls(name: str) -> None:
    with pytest.raises(AccountsError, match="the name may have lower-case letters, digits, - and _, 63 at most"):
        parse(name, ZHIQITE)


def test_several_mistakes_are_told_together() -> None:
    with pytest.raises(AccountsError, match=r"rate: .*; accounts\.main\.colour: "):
        parse("main", {**ZHIQITE, "colour": "red", "rate": "fast"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"accounts\.toml: no \[accounts\.NAME\] table"),
        ("[accounts.main\n", r"accounts\.toml: not valid TOML"),
        ('[accounts.main]\nprovider = "nobody"\n', r"accounts\.toml: accounts\.main\.provider: 'nobody' is unknown"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AccountsError, match=message):
        load(written(tmp_path, text))


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        AccountsError, match=r"there is no accounts file; copy accounts\.example\.toml, or use --sandbo"
    ):
        load(tmp_path / "accounts.toml")


def test_a_deployment_has_one_currency(tmp_path: Path) -> None:
    table = 'provider = "zhiqite"\nbase_url = "http://127.0.0.1:9"\naccess_key_id = "a"\naccess_key_secret = "b"\n'
    both = "".join(f'[accounts.{name}]\n{table}prices = {{ swap = "1 {name.upper()}" }}\n' for name in ("usd", "eur"))

    with pytest.raises(AccountsError, match="prices in EUR, USD: a deployment has one currency"):
        load(written(tmp_path, both))


def test_secrets_come_from_the_environment_and_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZHIQITE_KEY_ID", "from-env")
    (tmp_path / "secret").write_text("from-file\n")
    table = {
        **ZHIQITE,
        "base_url": "https://api.example/",
        "access_key_id": "env:ZHIQITE_KEY_ID",
        "access_key_secret": f"file:{tmp_path}/secret",
    }
    account = parse("main", table)
    own = account.own.model_dump()

    assert own["access_key_id"].get_secret_value() == "from-env"
    assert own["access_key_secret"].get_secret_value() == "from-file"
    assert account.base_url == "https://api.example"
    assert "from-env" not in repr(account)


def test_overrides_change_limits_only() -> None:
    account = parse("main", {**ZHIQITE, "max_in_flight": 32, "rate": "60/min"})
    changed = account.with_overrides({"max_in_flight": 4})

    assert (changed.max_in_flight, changed.rate, changed.name) == (4, 1.0, "main")
    assert account.with_overrides({}) is account
    for setting in ("base_url", "submit_timeout", "order"):
        with pytest.raises(ValueError, match=setting):
            account.with_overrides({setting: "1"})


def test_what_a_submission_costs() -> None:
    table = {
        "provider": "qolaba",
        "base_url": "http://127.0.0.1:9",
        "token": "t",
        "prices": {"consistency": "0.03 USD/picture"},
    }
    account = parse("main", table)
    per_picture, unpriced = account.operations["qolaba.consistency"], account.operations["qolaba.avatar"]

    assert account.cost(per_picture, {"batch": 4}) == Decimal("0.12")
    assert account.cost(per_picture, {}) == Decimal("0.03")
    assert account.cost(unpriced, {}) == Decimal(0)


@given(st.integers(1, 10_000), st.sampled_from([("s", 1), ("min", 60), ("h", 3_600), ("d", 86_400)]))
def test_durations_and_rates_are_read_in_seconds(number: int, unit: tuple[str, int]) -> None:
    name, seconds = unit

    assert duration(f"{number}{name}") == number * seconds
    assert duration(float(number)) == number
    assert rate(f"{number}/{name}") == number / seconds


@given(st.decimals(0, 10_000, places=4), st.booleans())
def test_prices_are_exact(amount: Decimal, per_picture: bool) -> None:
    read = price(f"{amount} USD{'/picture' * per_picture}")

    assert (read.amount, read.currency) == (amount, "USD")
    assert read.for_pictures(3) == amount * (3 if per_picture else 1)


@given(st.text(alphabet=st.characters(exclude_categories=["Nd"])) | st.none() | st.lists(st.integers()))
def test_anything_else_is_a_clear_error(value: object) -> None:
    with pytest.raises(ValueError, match=f"{re.escape(repr(value))} is not a .*: write "):
        rate(value)
    with pytest.raises(ValueError, match=f"{re.escape(repr(str(value)[:80]))} is not a valid amount"):
        price(value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "https://u:hunter2@api.example"},
        {"base_url": "ftp://u:hunter2@api.example"},
        {"token": "hunter2"},
        {"token": {"value": "hunter2"}},
        {"proxy": "http://u:hunter2@127.0.0.1:3128"},
        {"allow_hosts": ["u:hunter2@host"]},
    ],
)
def test_a_wrong_account_is_told_without_its_secret(wrong: dict[str, object]) -> None:
    with pytest.raises(AccountsError, match=r"accounts\.main\.") as caught:
        parse("main", {"provider": "qolaba", "base_url": "https://api.example", "token": "env:HOME", **wrong})
    assert "hunter2" not in str(caught.value)
