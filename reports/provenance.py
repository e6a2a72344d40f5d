"""How a stored picture says what made it, in words."""

from __future__ import annotations

from models.results import Provenance

_SENTENCES = {
    Provenance.MARK: "marked in its metadata as {term}",
    Provenance.CREDENTIALS: (
        "left as its provider made it, because it carries Content Credentials, which a mark would make invalid;"
        " they state {term}"
    ),
    Provenance.SIGNED: "carries Content Credentials that this deployment signed; they state {term}",
}


def stated(provenance: str | None, source_type: str | None) -> str | None:
    """How a result's file says what made it; None where it does not, or an older version stored it."""
    if provenance is None:
        return None
    return _SENTENCES[Provenance(provenance)].format(term=word_of(source_type) or "no digital source type")


def word_of(source_type: str | None) -> str | None:
    """The last word of a term, such as ``trainedAlgorithmicMedia``."""
    return source_type and (source_type.rstrip("/").rpartition("/")[2] or source_type)
