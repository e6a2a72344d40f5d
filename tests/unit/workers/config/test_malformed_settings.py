"""Settings as people get them wrong: blank is unset, foreign ones are passed over, and no secret is in any message."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import recast.settings
from cli.exit_codes import ExitCode
from cli.main import main
from recast.errors import NotConfiguredError
from tests.stack import ROOT
from tests.words import names, unsaid
from workers.config import passed_over
from workers.config.settings import MIN_PASSWORD, MIN_SECRET, Settings, SettingsError, read

CANARY = ("canarybefore", "canarybehind")  # two halves, because a sign in the middle may split a secret
FIELDS = sorted(Settings.model_fields)
#: In a way that is valid but for what the test does to it.
VALID = {
    "DATABASE_URL": "postgresql://recast:{}@127.0.0.1:1/recast",
    "MIGRATION_DATABASE_URL": "postgresql://recast:{}@127.0.0.1:1/recast",
    "BROKER_URL": "redis://:{}@127.0.0.1:1/0",
    "RESULT_URL": "redis://:{}@127.0.0.1:1/1",
}


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RECAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(passed_over, "_told", set())


def example_lines() -> list[str]:
    """The names of every setting in our example, also of those that are commented out."""
    lines = (line.lstrip("#") for line in (ROOT / ".env.example").read_text().splitlines())
    return [line.partition("=")[0] for line in lines if line.partition("=")[0].startswith("RECAST_") and "=" in line]


# --- Blank ----------------------------------------------------------------------------------------------------------


@pytest.mark.heavy
@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("blank", ["", "  ", "\u200b"])
def test_a_blank_setting_is_unset(name: str, blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read()
    monkeypatch.setenv(f"RECAST_{name.upper()}", blank)
    assert read() == expected


def test_every_blank_line_of_the_example_is_unset(tmp_path: Path) -> None:
    expected = read()
    found = example_lines()
    assert len(found) > 20
    (tmp_path / ".env").write_text("".join(f"{name}=\n" for name in found))
    assert read() == expected
    with pytest.raises(NotConfiguredError):  # and not an address that is blank
        recast.settings.read()


def test_the_example_as_it_stands_stops_no_command(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes((ROOT / ".env.example").read_bytes())
    (tmp_path / "accounts.toml").write_bytes((ROOT / "accounts.example.toml").read_bytes())
    assert read().secret_key is None
    assert main(["providers"]) == 0


# --- Least lengths --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [
        ("SECRET_KEY", "\u00a4", MIN_SECRET),
        ("SECRET_KEY", "k" * (MIN_SECRET - 1), MIN_SECRET),
        ("METRICS_TOKEN", "t" * (MIN_SECRET - 1), MIN_SECRET),
        ("WEB_AUTH", "me:" + "p" * (MIN_PASSWORD - 1), MIN_PASSWORD),
        ("FLOWER_AUTH", "me:" + "p" * (MIN_PASSWORD - 1), MIN_PASSWORD),
        ("FLOWER_AUTH", "p" * 40, "user:password"),
        ("FLOWER_AUTH", "admin:long,secret-of-mine", "comma"),
    ],
)
def test_a_secret_that_can_be_guessed_is_refused(
    name: str, value: str, least: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"RECAST_{name}", value)
    with pytest.raises(SettingsError, match=names(f"RECAST_{name}", least)) as caught:
        read()
    assert value not in str(caught.value)


# --- Values that no machine has room for ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIELDS)
def test_a_value_without_end_is_refused_by_name_or_harmless(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers become floats, times and intervals of the database, and paths are asked for."""
    for value in ("9" * 400, "inf", "nan"):
        monkeypatch.setenv(f"RECAST_{name.upper()}", value)
        found, told = _read_or_told(name)
        assert told is None or (unsaid(told, f"RECAST_{name.upper()}") == [] and len(told) < 700), value[:20]
        assert not isinstance(found, int | float) or abs(found) <= 2**31, (value[:20], found)


def _read_or_told(name: str) -> tuple[object, str | None]:
    try:
        return getattr(read(), name), None
    except SettingsError as error:
        return None, str(error)


def test_a_home_that_cannot_be_is_told_to_a_producer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAST_HOME", "h" * 300)
    with pytest.raises(NotConfiguredError, match=names("RECAST_BROKER_URL")):
        recast.settings.read()


# --- Variables of other services ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["WEB_PORT", "FLOWER_PORT"])
@pytest.mark.parametrize("value", ["tcp://10.0.0.12:8765", "udp://[fd00::7]:53", " TCP://web:80\n"])
def test_a_service_s_own_variable_is_passed_over_with_one_warning(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"RECAST_{name}", value)
    for rest in ("SERVICE_HOST", "SERVICE_PORT", "PORT_8765_TCP", "PORT_8765_TCP_ADDR"):
        monkeypatch.setenv(f"RECAST_WEB_{rest}", "10.0.0.12")
    default = Settings.model_fields[name.lower()].default
    assert [getattr(read(), name.lower()) for _ in range(3)] == [default] * 3
    told = capsys.readouterr()
    assert (told.out + told.err).count(f"RECAST_{name}") == 1
    monkeypatch.setenv(f"RECAST_{name}", "9000")
    assert getattr(read(), name.lower()) == 9000


def test_flower_s_own_variables_lose_what_is_a_service_s() -> None:
    environ = {"FLOWER_PORT": "tcp://10.0.0.7:5555", "FLOWER_PERSISTENT": "1", "OTHER": "tcp://10.0.0.7:1"}
    passed_over.remove_links(environ, "FLOWER_")
    assert environ == {"FLOWER_PERSISTENT": "1", "OTHER": "tcp://10.0.0.7:1"}


# --- Addresses of servers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", ["@", "/", "#", "?", "[", "]"])
@pytest.mark.parametrize("name", VALID)
def test_a_sign_that_ends_a_password_is_told_with_how_to_write_it(
    name: str, sign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other, value in VALID.items():
        monkeypatch.setenv(f"RECAST_{other}", value.format("right"))
    monkeypatch.setenv(f"RECAST_{name}", VALID[name].format(sign.join(CANARY)))
    with pytest.raises(SettingsError, match=names(f"RECAST_{name}", f"%{ord(sign):X}")) as caught:
        read()
    assert not any(half in str(caught.value) for half in CANARY)
    monkeypatch.setenv(f"RECAST_{name}", VALID[name].format(f"%{ord(sign):02X}".join(CANARY)))
    assert read().database_url is not None


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "rediss://:p%40w@h:6380/0?ssl_cert_reqs=required",
        "unix:///run/s.sock",
        "redis://[::1]:6379/0",
        "sentinel://:pw@a:26379;sentinel://:pw@b:26379/0?master_name=m",
        "sentinel://a;b;c/0?master_name=m",
    ],
)
def test_addresses_of_brokers_that_are_read_as_they_are_meant(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAST_DATABASE_URL", VALID["DATABASE_URL"])
    monkeypatch.setenv("RECAST_BROKER_URL", url)
    assert read().broker_url == recast.settings.read().broker_url == url


@pytest.mark.parametrize(
    "query",
    [
        "sslmode=require&connect_timeout=3",
        "options=-csearch_path%3Dx",
        "host=/run/postgresql,/run/other",
        "target_session_attrs=any",
        "sslrootcert=%2Fetc%2Fca.pem&application_name=shop",
    ],
)
def test_parameters_that_libpq_knows_are_kept(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAST_BROKER_URL", "redis://h")
    monkeypatch.setenv("RECAST_DATABASE_URL", f"postgresql://u:p@a:5432,b:5433/x?{query}")
    assert query in str(read().database_url)


@pytest.mark.parametrize(("query", "name"), [("pgbouncer=true", "pgbouncer"), ("sslmode=require&schema=x", "schema")])
def test_a_parameter_that_libpq_lacks_is_refused_by_name(
    query: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECAST_BROKER_URL", "redis://h")
    monkeypatch.setenv("RECAST_DATABASE_URL", f"postgresql://u:{CANARY[0]}@h/x?{query}&sslpassword={CANARY[1]}")
    with pytest.raises(SettingsError, match=names("RECAST_DATABASE_URL", name)) as caught:
        read()
    assert not any(half in str(caught.value) for half in CANARY)


# --- Canaries -------------------------------------------------------------------------------------------------------


def parted_by(sign: str) -> Callable[[str], str]:
    """A value whose secret has `sign` in its middle."""
    return lambda valid: valid.format(sign.join(CANARY))


#: How a value is put out of shape; each keeps both halves of the canary in it.
SHAPES: dict[str, Callable[[str], str]] = {
    "bare": lambda _: "".join(CANARY),
    "wrong scheme": lambda valid: "mysql" + valid.format("".join(CANARY))[valid.find(":") :],
    "no scheme": lambda valid: valid.partition("://")[2].format("".join(CANARY)),
    "a broken port": lambda valid: valid.replace(":1/", ":{}/").format(*CANARY),
    "an unknown parameter": lambda valid: valid.format(CANARY[0]) + f"?unknown={CANARY[1]}",
    "a value of a known parameter": lambda valid: valid.format("p") + f"?sslmode={CANARY[0]}&ssl_cert_reqs={CANARY[1]}",
    "a database": lambda valid: valid.format("p").rpartition("/")[0] + "/" + "/".join(CANARY),
    "other logins": lambda valid: (
        "sentinel" + ";".join(map(valid.format, CANARY))[valid.find(":") :] + "?master_name=m"
    ),
    "a connection string": lambda _: f"AccountName=shop;AccountKey={CANARY[0]};EndpointSuffix={CANARY[1]}",
    "a bare query": lambda valid: valid.format("p") + "?" + "".join(CANARY),
    **{f"a {sign!r} in it": parted_by(sign) for sign in "@/#?[]:%, &=\\\"'"},
    "a line end in it": lambda valid: valid.format("\n".join(CANARY)),
    "a line end behind": lambda valid: valid.format("".join(CANARY)) + "\nx" + CANARY[0],
    "an unseen sign": lambda valid: valid.format("\u200b".join(CANARY)),
    "not UTF-8": lambda valid: valid.format("\udcff".join(CANARY)),
    "an open bracket": lambda valid: valid.replace("127.0.0.1", "[::1").format("".join(CANARY)),
}


#: What holds a secret, or is likely to be given one by mistake, each by itself; and all others together.
AT_STAKE = (
    "DATABASE_URL", "MIGRATION_DATABASE_URL", "BROKER_URL", "RESULT_URL", "SECRET_KEY", "METRICS_TOKEN", "WEB_AUTH",
    "FLOWER_AUTH", "STORAGE_URL", "PUBLIC_URL", "PUBLIC_URL_CHECK", "WEBHOOK_HOSTS", "C2PA_KEY", "C2PA_SIGN_COMMAND",
)  # fmt: skip
OTHERS = tuple(sorted({name.upper() for name in FIELDS} - {*AT_STAKE, "HOME", "ACCOUNTS_FILE"}))


@pytest.mark.heavy
@pytest.mark.parametrize("together", [*((name,) for name in AT_STAKE), OTHERS], ids=lambda each: each[0])
def test_no_half_of_a_secret_is_in_a_message(
    together: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for other, value in VALID.items():
        monkeypatch.setenv(f"RECAST_{other}", value.format("right"))
    for shape, put in SHAPES.items():
        for name in together:
            monkeypatch.setenv(f"RECAST_{name}", put(VALID.get(name, "{}")))
        told = "".join(_told_by(read, recast.settings.read))
        captured = capsys.readouterr()
        assert not any(half in told + captured.out + captured.err for half in CANARY), (shape, told)


@pytest.mark.parametrize("shape", ["bare", "a '@' in it", "not UTF-8"])
def test_no_command_tells_a_wrong_setting(
    shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (name.upper() for name in FIELDS if name not in {"home", "accounts_file"}):
        monkeypatch.setenv(f"RECAST_{name}", SHAPES[shape](VALID.get(name, "{}")))
    assert main(["status", "x"]) == ExitCode.USAGE
    told = "".join(capsys.readouterr())
    assert unsaid(told, "RECAST_SLOTS", "RECAST_DATABASE_URL") == []
    assert not any(half in told for half in CANARY), told
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or not any(half.encode() in path.read_bytes() for half in CANARY), path


def _told_by(*works: Callable[[], object]) -> Iterator[str]:
    for work in works:
        try:
            work()
        except (SettingsError, NotConfiguredError) as error:
            yield str(error) + "".join(traceback.format_exception(error))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_file_of_settings_that_is_not_utf8_is_told_by_its_line(tmp_path: Path, encoding: str) -> None:
    (tmp_path / ".env").write_text(f"RECAST_CURRENCY=EUR\nRECAST_SECRET_KEY={CANARY[0]}ü{CANARY[1]}\n", encoding)
    for work, kind in ((read, SettingsError), (recast.settings.read, NotConfiguredError)):
        with pytest.raises(kind) as caught:
            work()
        assert unsaid(str(caught.value), ".env", "UTF-8") == []
        assert not any(half in "".join(traceback.format_exception(caught.value)) for half in (*CANARY, "0xfc"))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_a_stack_file_that_cannot_be_read_is_told_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".recast").mkdir()
    (tmp_path / ".recast" / "stack.json").write_bytes(content)
    with pytest.raises(SettingsError, match=names("stack.json")):
        read()


@pytest.mark.parametrize("name", ["WEB_HOST", "FLOWER_ADDRESS"])
@pytest.mark.parametrize("value", ["admin:{}", "http://{}", "{}:8765", "me@{}", "{}/x", "[{}]", "*"])
def test_what_is_no_host_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"RECAST_{name}", value.format(CANARY[0]))
    with pytest.raises(SettingsError, match=names(f"RECAST_{name}", "127.0.0.1")) as caught:
        read()
    assert CANARY[0] not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["localhost", "::1", "::", "fe80::1%eth0", "127.0.0.2", "192.0.2.7", "web-1.shop.example"]
)
def test_addresses_and_names_are_hosts(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAST_WEB_HOST", value)
    assert read().web_host == value


@pytest.mark.parametrize(
    "url",
    [
        "sftp://me:{}@host/pictures", "ftp://me:p@{}@host/x",
        "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey={}",
        "secret_access_key={}", "Endpoint=x;SharedAccessKey={}",
    ],
)  # fmt: skip
def test_a_password_in_the_storage_s_address_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAST_STORAGE_URL", url.format(CANARY[0]))
    with pytest.raises(SettingsError, match=names("RECAST_STORAGE_URL", "password")) as caught:
        read()
    assert CANARY[0] not in str(caught.value)
