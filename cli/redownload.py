"""`recast redownload`: another download of results that were paid for and not obtained."""

from __future__ import annotations

from typing import Any

from cli.bulk import DryRunOption, YesOption
from cli.deployment import open_deployment
from cli.environment import JsonOption, SandboxOption
from cli.filters import JobSelection, takes_selection
from cli.impact import execute
from desk.bulk_operations import Impact
from workers.operations import redownload as operation


@takes_selection("state")
def redownload(
    selection: JobSelection,
    *,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Download again what was paid for and lost; costs nothing.

    Applies to failed jobs whose provider has finished them, or was still working at the deadline. The provider is asked
    for the result again where its address no longer works. Nothing is submitted.
    """
    selection.named()
    with open_deployment(sandbox=sandbox) as runtime:
        ids = runtime.db(operation.downloadable, selection.resolve(runtime))

        def apply() -> tuple[int, dict[str, Any]]:
            done = operation.redownload(runtime, ids)
            return done.saving + done.polled, {"saving": done.saving, "polled": done.polled}

        execute(runtime, "redownload", Impact(ids, ()), dry_run=dry_run, yes=yes, as_json=as_json, apply=apply)
