"""Settings of single sign-on: whom a trusted proxy has signed in."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import field_validator, model_validator
from pydantic_settings import BaseSettings

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]+")  # RFC 9110's token, without the underscore that proxies confuse


class Entering(BaseSettings):
    """Who comes in without a password of ours."""

    #: The header in which a proxy of `TRUSTED_PROXIES` names who has signed in, such as X-Forwarded-User.
    web_proxy_user: str | None = None
    #: The role of those who have no person here; without it they may not enter.
    web_proxy_role: Literal["viewer", "reviewer", "operator"] | None = None

    @field_validator("web_proxy_user")
    @classmethod
    def _is_a_header(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not _HEADER.fullmatch(value) or value.lower() in {"authorization", "cookie", "host"}:
            raise ValueError("must be the name of a header that only the proxy sets, such as X-Forwarded-User")
        return value

    @model_validator(mode="after")
    def _has_a_header_for_its_role(self) -> Self:
        if self.web_proxy_role is not None and self.web_proxy_user is None:
            raise ValueError("RECAST_WEB_PROXY_ROLE is set without RECAST_WEB_PROXY_USER; set both or neither")
        return self
