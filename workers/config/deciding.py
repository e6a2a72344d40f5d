"""Settings of what people decide about pictures, and programs about runs."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from workers.config.reasons import REVIEW_REASONS, Reasons


class Deciding(BaseSettings):
    """What is offered to people and programs."""

    #: What can be wrong with a picture, separated by commas.
    review_reasons: Reasons = REVIEW_REASONS
    redo_most: int = Field(default=5, ge=0, le=100)  # of one job: what is still not right needs another input
    quote_seconds: int = Field(default=900, ge=10, le=86_400)  # for which a quote of the API can be taken
