"""`recast export`: the results of a batch as a table and as pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from cli import completion
from cli.deployment import open_deployment
from cli.environment import JsonOption, SandboxOption
from cli.output import complain, emit
from cli.outputs import require_file, require_folder
from models.verdicts import Verdict
from reports import archives
from reports.batch import BatchReport, find
from reports.export import jobs_of, metadata_of, write_json_lines
from reports.pictures import TEMPLATE, write_pictures
from reports.reviews import verdicts_of
from reports.writing import write_table, writer_for
from workers.counted import counted


def _present(session: Session, name: str) -> BatchReport:
    report = find(session, name)
    archives.refuse(session, batch_id=report.id)
    return report


def export(
    batch: Annotated[str, typer.Argument(help="Name of the batch.", autocompletion=completion.batches)],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FILE",
            help="Table to write: .csv, .jsonl (also .gz) or .parquet; a path or s3://. Default: print JSON Lines.",
        ),
    ] = None,
    *,
    pictures: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Write the pictures to this folder: a path or s3://.")
    ] = None,
    template: Annotated[
        str,
        typer.Option(
            help="File names of the pictures, from {key}, {index}, {ext}, {batch}, {sha256} and {YOUR COLUMN}."
        ),
    ] = TEMPLATE,
    approved: Annotated[
        bool, typer.Option("--approved", help="Only approved pictures: of each job the one that is used.")
    ] = False,
    verdict: Annotated[Verdict | None, typer.Option(help="Only jobs with a picture and this verdict.")] = None,
    excel: Annotated[
        bool, typer.Option("--excel", help="Begin a .csv with the mark by which Excel knows UTF-8.")
    ] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a batch as a table, and its pictures as files.

    The table includes the catalog's metadata columns. The files are named by key, or by --template. With --json, it
    says what was written; where nothing is, the jobs are printed as JSON Lines either way.

    Run it again to continue an interrupted export: existing pictures are skipped. Where pictures are signed
    (RECAST_C2PA_CERTIFICATE), their credentials say the verdict that counts now.
    """
    verdict = _wanted(verdict, approved=approved)
    _require_places(to, pictures, excel=excel)
    with open_deployment(sandbox=sandbox) as runtime:
        report, currency = runtime.db(_present, batch), runtime.settings.currency
        written: dict[str, Any] = {"batch": report.name}
        if pictures is not None:
            jobs = jobs_of(runtime, report.id, runtime.storage, currency, verdict)
            made = write_pictures(jobs, runtime.storage, pictures, template, report.name, runtime.signer)
            written["pictures"] = {"folder": str(made.folder), "files": made.files, "new": made.written}
            complain(f"{made.folder}: {counted(made.files, 'picture')}, {made.written:,} of them new")
        if to is not None:
            jobs = jobs_of(runtime, report.id, runtime.storage, currency, verdict)
            write_table(to, jobs, runtime.db(metadata_of, report.id), excel=excel)
            number = report.total if verdict is None else runtime.db(verdicts_of, report).counts[verdict]
            written["table"] = {"file": to, "jobs": number}
            complain(f"{to}: {counted(number, 'job')}")
        elif pictures is None:
            write_json_lines(sys.stdout, jobs_of(runtime, report.id, runtime.storage, currency, verdict), ())
            return
    if as_json:
        emit(written)


def _require_places(to: str | None, pictures: str | None, *, excel: bool) -> None:
    """Refuse what cannot be written to before anything starts."""
    if to is not None:
        writer_for(to, excel=excel)
        if "://" not in to:
            require_file(Path(to), "--to")
    if pictures is not None and "://" not in pictures:
        require_folder(Path(pictures), "--pictures")


def _wanted(verdict: Verdict | None, *, approved: bool) -> Verdict | None:
    """The verdict of the pictures that are exported."""
    if approved and verdict not in (None, Verdict.APPROVED):
        raise typer.BadParameter(f"{verdict} and --approved exclude each other; use one", param_hint="--verdict")
    return Verdict.APPROVED if approved else verdict
