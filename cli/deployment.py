"""The deployment that a command runs jobs in, with everything that a worker has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import typer

from cli.environment import READS, is_external, readable, serving
from cli.recorded import record
from cli.stack import Parts, Stack
from workers.config.settings import Settings
from workers.engine.runtime import Runtime
from workers.messaging.app import app
from workers.messaging.claim import claim
from workers.messaging.unfit import BROKER, fit


@contextmanager
def running_deployment(
    settings: Settings, parts: Parts, *, sandbox: bool, sends: bool = True
) -> Iterator[tuple[Runtime, Stack | None]]:
    """A deployment that processes jobs: the configured one, or the embedded stack with `parts`.

    With `sends`, the broker is checked first, so that nothing is stored while it cannot be reached.

    Raises:
        ServerError: the embedded stack did not start.
        kombu.exceptions.OperationalError: the configured broker does not answer.
    """
    checked = sends and is_external(sandbox=sandbox)
    if checked:
        # Otherwise jobs would wait for the next sweep, without any message.
        with fit(BROKER), app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1)
    with serving(settings, parts, sandbox=sandbox) as (chosen, stack), closing(Runtime(chosen)) as runtime:
        if checked:
            claim(runtime)
        yield runtime, stack


@contextmanager
def open_deployment(*, sandbox: bool, with_sandbox: bool = False) -> Iterator[Runtime]:
    """A deployment to read and change; of the embedded stack only the servers are started, or joined if they run.

    With `with_sandbox`, the sandbox's providers answer too.

    Raises:
        SettingsError: no database is configured, and no embedded stack has run here.
        ServerError: the embedded servers did not start.
    """
    # A sandbox continues the jobs that it had accepted, and fetches their pictures from `web`.
    parts = Parts(worker=False, web=True, sandbox=True) if sandbox and with_sandbox else READS
    with running_deployment(readable(sandbox=sandbox), parts, sandbox=sandbox, sends=False) as (runtime, _):
        try:
            yield runtime
        except typer.Exit:  # the command did its work, and says by its exit code what is left to do
            record(runtime)
            raise
        record(runtime)
