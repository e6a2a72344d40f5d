"""A broker's address: one spelling for every part of Celery, verified TLS, and what is not supported told by name."""

from __future__ import annotations

import ssl

import pytest

from recast.address import parse
from recast.client import broker_settings
from recast.errors import NotConfiguredError
from recast.settings import read
from tests.words import names
from workers.config.settings import SettingsError
from workers.config.settings import read as read_settings

SECRET = "hunter2"
AUTHORITY = __file__  # any file: it is read when a connection is made


@pytest.mark.parametrize(
    ("url", "celery_url"),
    [
        ("redis://h", "redis://h:6379/0"),
        ("redis://:p%40ss@h:1/2", "redis://:p%40ss@h:1/2"),
        ("valkey://app:p@h:1/2", "redis://app:p@h:1/2"),
        ("rediss://h:6380/0", "rediss://h:6380/0"),
        ("valkeys://h:6380/0?ssl_cert_reqs=none", "rediss://h:6380/0"),
        ("redis://[::1]:7/0", "redis://[::1]:7/0"),
        ("unix:///run/r.sock?db=3", "redis+socket:///run/r.sock?virtual_host=3"),
        ("redis+socket://:p@/run/r.sock?virtual_host=3", "redis+socket://:p@/run/r.sock?virtual_host=3"),
        ("sentinel://a;b:1;c/4?master_name=m", "sentinel://a:26379/4;sentinel://b:1/4;sentinel://c:26379/4"),
        ("sentinel://:p@a:1/4;sentinel://b:2/4?master_name=m", "sentinel://:p@a:1/4;sentinel://:p@b:2/4"),
        ("sentinel://:p@a:1/4;sentinel://:p@b:2/4?master_name=m", "sentinel://:p@a:1/4;sentinel://:p@b:2/4"),
        ("sentinel://u:p@a;u:p@b;u:p@c/4?master_name=m",
         "sentinel://u:p@a:26379/4;sentinel://u:p@b:26379/4;sentinel://u:p@c:26379/4"),
        ("sentinel://u:p@[::1]:1;u:p@b/4?master_name=m", "sentinel://u:p@[::1]:1/4;sentinel://u:p@b:26379/4"),
    ],
)  # fmt: skip
def test_every_form_becomes_the_one_that_celery_reads(url: str, celery_url: str) -> None:
    assert parse(url).celery_url == celery_url


def test_tls_is_verified_unless_the_address_says_otherwise() -> None:
    for url in ("rediss://h", "valkeys://h", "rediss://h?ssl_cert_reqs=required", "sentinels://h?master_name=m"):
        assert parse(url).tls == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    assert parse("rediss://h?ssl_cert_reqs=none").tls["ssl_cert_reqs"] is ssl.CERT_NONE
    own = parse(f"rediss://h?ssl_ca_certs={AUTHORITY}&ssl_check_hostname=false").tls
    assert own == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": False, "ssl_ca_certs": AUTHORITY}
    assert not parse("redis://h").tls

    both = broker_settings("rediss://h", f"valkeys://r/1?ssl_ca_certs={AUTHORITY}")
    assert both["broker_use_ssl"]["ssl_cert_reqs"] is ssl.CERT_REQUIRED
    assert both["redis_backend_use_ssl"]["ssl_ca_certs"] == AUTHORITY


def test_sentinel_is_asked_with_its_own_login_and_patience() -> None:
    made = broker_settings("sentinel://app:p@a;b/0?master_name=m&sentinel_password=s", "redis://r", "shop:")
    options = made["broker_transport_options"]
    assert (options["master_name"], options["global_keyprefix"]) == ("m", "shop:")
    assert options["sentinel_kwargs"]["password"] == "s"
    assert options["sentinel_kwargs"]["socket_timeout"] == options["socket_timeout"]
    assert made["result_backend_transport_options"] == {"global_keyprefix": "shop:"}


REFUSED = [
    ("amqp://u:hunter2@h//", names("amqp://", "redis://")),
    ("sqs://hunter2@", names("sqs://")),
    ("redis+cluster://h:1", names("redis+cluster://")),
    ("redis:hunter2", names("URL")),
    ("redis://:hunter2@w@h/0", names("%40")),
    ("redis://:hunter2/w@h/0", names("%2F")),
    ("redis://:hunter2#w@h/0", names("%23")),
    ("redis://:hunter2%w@h/0", names("%25")),
    ("redis://:hunter2@h:port/0", names("port")),
    ("redis://:hunter2@[h/0", names("URL")),
    ("redis://:hunter2@h/jobs", names("/0")),
    ("redis://:hunter2@a,b/0", names("sentinel://")),
    ("redis://:hunter2@a;b/0", names("sentinel://")),
    ("redis://:hunter2@a:6379,b:6379,c:6379/0", names("Cluster", "sentinel://")),
    ("redis://:hunter2@a:6379;redis://:hunter2@b:6379/0", names("Cluster", "sentinel://")),
    ("sentinel://:hunter2@a:26379,b:26379/0?master_name=m", names("sentinel://", ";")),
    ("sentinel://:hunter2@a;:hunter3@b/0?master_name=m", names("sentinel_password")),
    ("sentinel://:hunter2@a/0?master_name=m;sentinel://:hunter2@b/0?master_name=m", names("master_name")),
    ("unix://hunter2/redis.sock", names("unix:///")),
    ("redis+socket://:hunter2@redis.sock", names("unix:///")),
    ("unix://", names("unix:///")),
    ("rediss://:hunter2@h/0?ssl_ca_certs=/nowhere/hunter2.pem", names("ssl_ca_certs", "file")),
    ("sentinels://a/0?master_name=m&ssl_certfile=/nowhere/c.pem&ssl_keyfile=/nowhere/k.pem",
     names("ssl_certfile", "ssl_keyfile", "file")),
    ("redis://:hunter2@h/0?ssl_cert_reqs=none", names("ssl_cert_reqs", "rediss://")),
    ("rediss://:hunter2@h/0?ssl_cert_reqs=CERT_REQUIRED", names("ssl_cert_reqs", "required", "none")),
    ("rediss://:hunter2@h/0?ssl_cert_reqs=optional", names("ssl_cert_reqs", "required", "none")),
    ("rediss://:hunter2@h/0?socket_timeout=5", names("socket_timeout")),
    ("sentinel://:hunter2@a;b/0", names("master_name")),
]  # fmt: skip


@pytest.mark.parametrize(("url", "told"), REFUSED)
def test_what_is_not_supported_is_refused_at_the_start_without_its_password(url: str, told: str) -> None:
    with pytest.raises(NotConfiguredError, match=told) as producers:
        read({"RECAST_BROKER_URL": url})
    with pytest.raises(SettingsError, match=told) as workers:
        read_settings(database_url="postgresql://h", broker_url=url)
    with pytest.raises(SettingsError, match=names("RECAST_RESULT_URL")) as results:
        read_settings(database_url="postgresql://h", broker_url="redis://h", result_url=url)
    for caught in (producers, workers, results):
        assert SECRET not in str(caught.value)


def test_a_prefix_of_keys_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read({"RECAST_BROKER_URL": "redis://h", "RECAST_KEY_PREFIX": "shop:"}).key_prefix == "shop:"
    for wrong in ("{shop}", "a b", "x" * 65):
        with pytest.raises(NotConfiguredError, match=names("RECAST_KEY_PREFIX")):
            read({"RECAST_BROKER_URL": "redis://h", "RECAST_KEY_PREFIX": wrong})
        monkeypatch.setenv("RECAST_KEY_PREFIX", wrong)
        with pytest.raises(SettingsError, match=names("RECAST_KEY_PREFIX")):
            read_settings()


def test_a_place_has_no_credentials() -> None:
    for url in ("redis://u:hunter2@h:1/0", "unix://:hunter2@/run/r.sock", "sentinel://:hunter2@a;b/0?master_name=m"):
        address = parse(url)
        assert SECRET not in repr(address) + address.place
        assert address.place
