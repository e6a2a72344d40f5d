"""What `recast doctor` says of single sign-on: who can name the people that enter without a password."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from cli.findings import Finding, State
from recast.hints import hint
from workers.config.settings import Settings

FEW = 256  # addresses of a network in which people know every machine


def sign_on(settings: Settings) -> Iterator[Finding]:
    """Whether the header of single sign-on is believed, and whom."""
    header, trusted = settings.web_proxy_user, settings.trusted_proxies
    if header is None:
        return
    if not trusted:
        where = "" if _is_loopback(settings.web_host) else f", and {hint('web')} listens at {settings.web_host}"
        yield Finding(
            "sign-on", State.WARN, f"RECAST_WEB_PROXY_USER is set and no proxy is trusted{where}: {header} is ignored",
            "name the address of the proxy that sets the header in RECAST_TRUSTED_PROXIES",
        )  # fmt: skip
        return
    wide = [each for each in trusted if ip_network(each).num_addresses > FEW]
    if wide:
        yield Finding(
            "sign-on", State.WARN, f"everything in {', '.join(wide)} may say in {header} who it is, operators included",
            "name only the proxy's own address in RECAST_TRUSTED_PROXIES",
        )  # fmt: skip
        return
    yield Finding("sign-on", State.OK, f"{header} is believed from {', '.join(trusted)}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
