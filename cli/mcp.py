"""`recast mcp`: the API's tools for programs that speak the Model Context Protocol, such as assistants."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from cli.environment import SandboxOption, readable, serving
from cli.late import load
from cli.stack import Parts
from desk import tokens
from desk.tokens import TokenError
from recast.hints import hint
from web.api.endpoints import Service
from workers.config.extras import missing
from workers.config.settings import SettingsError
from workers.engine.runtime import Runtime

VARIABLE = "RECAST_API_TOKEN"
MAX_TOKEN_BYTES = 1_000  # of a file; ours have some fifty


def mcp(
    *,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help=f"File that holds the token. Default: {VARIABLE}.")
    ] = None,
    sandbox: SandboxOption = False,
) -> None:
    """Serve tools for assistants on standard input and output (MCP).

    The token, one of `recast tokens add`, says who asks: its role and its limit of a day hold. What costs money needs a
    quote: the tool `plan` gives one, and `confirm` does what it says.
    """
    if lacking := missing(["mcp"]):
        raise SettingsError(f"{lacking} is not installed; pip install 'recast-server[mcp]'")
    chosen = readable(sandbox=sandbox)
    token = _token(token_file)
    with (
        serving(chosen, Parts(worker=False, web=False), sandbox=sandbox) as (settings, _),
        closing(Runtime(settings, secrets=())) as runtime,
    ):
        if runtime.db(tokens.who, token) is None:
            raise TokenError(f"the token is not known, or was revoked; {hint('tokens add', 'NAME')} adds one")
        load("web.mcp_server:serve")(Service(runtime, settings.quote_seconds), token)


def _token(file: Path | None) -> str:
    if file is None:
        token = os.environ.get(VARIABLE, "")
    else:
        try:
            with file.open("rb") as opened:
                token = opened.read(MAX_TOKEN_BYTES).decode()
        except (OSError, ValueError) as error:
            raise TokenError(f"token-file: {str(file)!r} cannot be read: {error}") from None
    if not token.strip():
        raise TokenError(f"no token: set {VARIABLE}, or name a file with --token-file; {hint('tokens add', 'NAME')}")
    return token.strip()
