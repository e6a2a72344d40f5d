"""`recast open`: the address of the gallery, in a browser where there is one."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

import typer

from cli import completion
from cli.environment import SandboxOption, open_database, readable
from cli.exit_codes import ExitCode
from cli.late import load
from cli.listeners import url_of
from cli.output import Style, complain, say
from recast.hints import hint
from reports.batch import find
from workers.config.settings import Settings

ASK_SECONDS = 5.0  # for a web process of this machine to answer; it takes milliseconds


def open_page(
    batch: Annotated[
        str | None,
        typer.Argument(help="Name of a batch. Default: the list of batches.", autocompletion=completion.batches),
    ] = None,
    *,
    browser: Annotated[bool, typer.Option(help="Open a browser; --no-browser only prints the address.")] = True,
    sandbox: SandboxOption = False,
) -> None:
    """Print the gallery's address, and open it in a browser.

    The address has no password in it: the browser asks for the user and password of RECAST_WEB_AUTH.
    """
    if batch is None:
        settings, page = readable(sandbox=sandbox), "batches"
    else:
        with open_database(sandbox=sandbox) as deployment:
            settings, page = deployment.settings, f"batches/{deployment.db(find, batch).id}"
    base = address_of(settings)
    url = f"{base}/{page}"
    say(url)
    if (lacking := _lacking(f"{base}/batches")) is not None:
        complain(lacking, style=Style.WAITING)
        raise typer.Exit(ExitCode.INFRASTRUCTURE)
    if browser and _has_screen():
        load("webbrowser:open")(url)


def address_of(settings: Settings) -> str:
    """Where the gallery is: that of the stack that runs here, else as the settings say."""
    path = urlsplit(settings.public_url or "").path.rstrip("/")
    if running := _running(settings).get("web_url"):
        return f"{running}{path}"
    return (settings.public_url or url_of(settings.web_host, settings.web_port)).rstrip("/")


def _running(settings: Settings) -> Mapping[str, Any]:
    try:
        found = json.loads(settings.stack_file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _lacking(url: str) -> str | None:
    """Why the page cannot be seen; None if it asks for the password, as it should."""
    try:
        # No proxy of the environment's: it is an address of our own.
        build_opener(ProxyHandler({})).open(url, timeout=ASK_SECONDS).close()
    except HTTPError as error:
        if error.code == HTTPStatus.UNAUTHORIZED:
            return None
        if error.code == HTTPStatus.NOT_FOUND:
            return f"the gallery is not served there: set RECAST_WEB_AUTH and start {hint('web')} again"
        return f"it answers {error.code}; read the log of {hint('web')}"
    except OSError as error:
        return f"nothing answers there ({getattr(error, 'reason', error)}); start {hint('web')}"
    return None


def _has_screen() -> bool:
    """Whether a person at a desktop typed this: elsewhere a browser would run in the terminal, or not at all."""
    return sys.stdout.isatty() and (sys.platform == "darwin" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)))
