"""`recast verify`: what a picture is, by what it says of itself and by what this deployment knows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from cli.environment import READS, JsonOption, SandboxOption, choose, has_run, serving
from cli.exit_codes import ExitCode
from cli.late import load
from cli.output import Style, emit, say
from recast.hints import hint
from reports.origins import Lookalike, Origin, lookalikes_of, origins_of
from reports.provenance import word_of
from workers.config.deployment import Deployment
from workers.config.extras import FACE_ENGINE, missing
from workers.images.check_rules import HASH_BITS
from workers.images.credentials import credentials_of
from workers.images.inputs import MAX_INPUT_BYTES
from workers.images.provenance import credentials_elsewhere, stated_in
from workers.images.segments import BadPictureError
from workers.images.verifier import Judged, Reviewed, judged
from workers.images.verify import verify as checked


@dataclass(frozen=True, slots=True)
class Seen:
    """What a file says of itself."""

    file: str
    media_type: str
    sha256: str
    #: Whether it has Content Credentials, whether verifiers can read them, and what one says of them.
    credentials: bool
    readable: bool
    verifier: Judged | None
    #: The digital source types that the credentials and the metadata state.
    credentials_state: str | None
    metadata_state: str | None
    #: The address at which it says that its credentials are kept.
    elsewhere: str | None

    @property
    def reviewed(self) -> Reviewed | None:
        """What valid credentials say of the verdict about it."""
        return self.verifier.reviewed if self.verifier and self.verifier.valid else None

    @property
    def broken(self) -> bool:
        """Whether a verifier refuses its credentials."""
        return self.credentials and (not self.readable or (self.verifier is not None and not self.verifier.valid))


@dataclass(frozen=True, slots=True)
class Traced:
    """What a deployment knows of a file: results of the same bytes, or else those that look like it."""

    jobs: list[Origin]
    #: None where looks could not be compared, because the face engine is not installed.
    lookalikes: list[Lookalike] | None


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A JPEG, PNG or WebP.")],
    *,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what made a picture, and find its job.

    Reads the picture's Content Credentials and metadata, and finds the result of this deployment that has the same
    bytes. If there is none, it lists results that look like it, as copies of other sizes do; a look proves nothing.
    Whether the credentials are valid needs the extra c2pa, and looks need the extra faces.

    Exit codes: 0 something says what made it; 1 nothing does, or its credentials are invalid; 2 it cannot be used.
    """
    seen, data = _seen(file)
    settings = choose(sandbox=sandbox)
    traced: Traced | None = None
    if not as_json:
        for line in _sentences(seen):
            say(line)
    if has_run(settings, sandbox=sandbox):
        with serving(settings, READS, sandbox=sandbox) as (found, _), closing(Deployment(found)) as deployment:
            traced = _traced(deployment, seen, data)
    if as_json:
        known = {"jobs": None, "lookalikes": None} if traced is None else asdict(traced)
        emit({**asdict(seen), "broken": seen.broken, **known})
    else:
        for line in _told(traced):
            say(line)
        if seen.broken:
            say("Its Content Credentials are invalid: it was changed after it was signed.", style=Style.BAD)
    stated = bool(seen.metadata_state or (seen.credentials and not seen.broken))
    if seen.broken or not (stated or (traced and traced.jobs)):
        raise typer.Exit(ExitCode.JOBS_FAILED)


def _seen(file: Path) -> tuple[Seen, bytes]:
    try:
        if (size := file.stat().st_size) > MAX_INPUT_BYTES:
            message = f"{file} has {size >> 20} MiB, more than {MAX_INPUT_BYTES >> 20}"
            raise typer.BadParameter(message, param_hint="FILE")
        data = file.read_bytes()
        media_type = checked(data).media_type
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}", param_hint="FILE") from error
    except BadPictureError as error:
        raise typer.BadParameter(f"{file}: {error}", param_hint="FILE") from error
    found = credentials_of(data, media_type)
    readable = found is not None and not found.damaged
    seen = Seen(
        file=str(file),
        media_type=media_type,
        sha256=hashlib.sha256(data).hexdigest(),
        credentials=found is not None,
        readable=readable,
        verifier=judged(data, media_type) if readable else None,
        credentials_state=None if found is None else found.source_type,
        metadata_state=stated_in(data, media_type),
        elsewhere=credentials_elsewhere(data, media_type) if found is None else None,
    )
    return seen, data


def _traced(deployment: Deployment, seen: Seen, data: bytes) -> Traced:
    origins = deployment.db(origins_of, seen.sha256)
    if not origins and seen.reviewed:
        origins = [replace(each, copied=True) for each in deployment.db(origins_of, seen.reviewed.picture)]
    if origins:
        return Traced(origins, [])
    if missing(FACE_ENGINE):
        return Traced([], None)
    look: int | None = load("workers.images.checks:look_of")(data)
    return Traced([], [] if look is None else deployment.db(lookalikes_of, look))


def _sentences(seen: Seen) -> Iterator[str]:
    states = f"They state {word_of(seen.credentials_state) or 'no digital source type'}."
    said = seen.verifier
    if seen.elsewhere:
        yield f"It says that its Content Credentials are kept at {seen.elsewhere}; they were not fetched."
    elif not seen.credentials:
        yield "It has no Content Credentials."
    elif not seen.readable:
        yield "It has Content Credentials that no verifier can read."
    elif said is None:
        yield f"It has Content Credentials. {states} Whether they are valid needs the extra: recast-server[c2pa]."
    elif said.valid:
        yield f"It has valid Content Credentials, signed by {said.signer or 'a certificate without a name'}. {states}"
    else:
        by = f", in the name of {said.signer}" if said.signer else ""
        yield f"It has invalid Content Credentials{by} ({', '.join(said.problems) or 'no reason given'}). {states}"
    if (review := seen.reviewed) is not None:
        role = f" in the role {review.role}" if review.role else ""
        yield f"They state the verdict {review.verdict.replace('_', ' ')}, given on {review.at[:10]}{role}."
    if seen.metadata_state:
        yield f"Its metadata states {word_of(seen.metadata_state)}."
    else:
        yield "Its metadata do not say what made it."


def _told(traced: Traced | None) -> Iterator[str]:
    if traced is None:
        yield "No deployment was asked: none is configured, and none has run here."
        return
    if not traced.jobs:
        yield "No result of this deployment has the same bytes."
    for origin in traced.jobs:
        what = "is a signed copy of" if origin.copied else "is" if origin.delivered else "is what the provider made for"
        yield f"It {what} picture {origin.index} of {_name(origin)}: {hint('show', origin.job)}"
    if traced.lookalikes is None:
        yield "Whether a result looks like it needs the extra: recast-server[faces]."
        return
    for each in traced.lookalikes:
        target = "; so does its target" if each.target_as_near else ""
        yield (
            f"Picture {each.index} of {_name(each)} looks like it ({each.bits} of {HASH_BITS} bits differ){target}:"
            f" {hint('show', each.job)}"
        )
    if traced.lookalikes:
        yield "A look proves nothing: copies in other sizes look alike, and so do pictures of one scene."


def _name(of: Origin | Lookalike) -> str:
    return f"{of.batch} / {of.key}" if of.batch else of.job
