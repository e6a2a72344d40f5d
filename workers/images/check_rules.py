"""The rules of quality checks: scores of measures, the score from which on one is flagged, and the words for it.

A score goes from 0 to 1, the surest fault. All of this is data: what it is measured by is in `faces.comparing`, and
`make checks` prints how many faults these thresholds find, and how many good pictures they flag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from models.checks import CheckName
from workers.config.check_thresholds import LEAST_ALIKE, Thresholds

#: What each check says of a picture that it flags.
SENTENCES: Final[Mapping[CheckName, str]] = {
    CheckName.BLANK: "The picture is blank, or nearly so.",
    CheckName.NO_FACE: "The picture shows no face.",
    CheckName.FEWER_FACES: "The picture shows fewer faces than the one before.",
    CheckName.MORE_FACES: "The picture shows more faces than the one before.",
    CheckName.FACE_UNCHANGED: "The face is the same as before.",
    CheckName.OTHER_PERSON: "The picture shows another person than the one given.",
    CheckName.CHANGED_OUTSIDE: "Something beside the head was changed.",
    CheckName.BLURRED: "The picture is blurred, compared with the one before.",
    CheckName.OTHER_SIZE: "The picture is smaller, or has another shape, than was asked for.",
    CheckName.NEAR_DUPLICATE: "The picture looks like that of another job.",
}

#: The score from which on a check flags a picture.
THRESHOLDS: Final[Mapping[CheckName, float]] = {
    CheckName.BLANK: 0.6,
    CheckName.NO_FACE: 0.5,
    CheckName.FEWER_FACES: 0.01,  # one of a hundred
    CheckName.MORE_FACES: 0.01,
    CheckName.FACE_UNCHANGED: 0.75,  # 4 of 255 levels: compression makes 1 to 3, another face 15 and more
    CheckName.OTHER_PERSON: 0.46,  # a distance of 0.55: good swaps reach 0.42, other people begin at 0.6
    CheckName.CHANGED_OUTSIDE: 0.375,  # 24 of 255 levels in one block: compression makes 1, another shade 40
    CheckName.BLURRED: 0.6,  # of the sharpness 0.4 is left: compression leaves 0.75, the least blur to be found 0.3
    CheckName.OTHER_SIZE: 0.02,
    CheckName.NEAR_DUPLICATE: LEAST_ALIKE,  # at most six of the 64 bits differ
}
#: Where an operation's own ways ask for another one.
PER_OPERATION: Final[Mapping[str, Thresholds]] = {
    # Drawings: what the detector makes of them says little.
    "qolaba.avatar": {CheckName.NO_FACE: None, CheckName.OTHER_PERSON: None},
    # A template's scene is the same for everybody.
    "hidream.variation": {CheckName.NEAR_DUPLICATE: None},
}

OURS: Final[Thresholds] = MappingProxyType({})  # where an account sets none
NO_ENTROPY: Final = 6.0  # bits of a picture's greys from which on it is not blank at all; photos have 6 to 8
FACE_LEVELS: Final = 16.0  # of 255, mean of a face: from here on it is another one
APART: Final = 1.2  # distance of two embeddings that is as sure as 0 of a likeness
OUTSIDE_LEVELS: Final = 64.0  # of 255, mean of a block: from here on it is something else
HASH_BITS: Final = 64  # of a perceptual hash
TARGETS_ALIKE: Final = 10  # bits: results of targets that differ by so few may well look alike


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of a result; None where it does not apply or could not be measured."""

    #: Bits of its greys.
    entropy: float
    #: How sure it is that it shows a face.
    presence: float | None = None
    #: Faces of the target and of the result.
    before: int | None = None
    after: int | None = None
    face_difference: float | None = None
    #: Of the embeddings of the face given and the result's most like it.
    person_distance: float | None = None
    outside_difference: float | None = None
    sharpness: float | None = None
    #: Width and height, and those that were expected, in pixels.
    size: tuple[int, int] | None = None
    expected: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One check of one result."""

    name: CheckName
    score: float
    threshold: float

    @property
    def flagged(self) -> bool:
        """Whether people should look at it."""
        return self.score >= self.threshold

    @property
    def rank(self) -> float:
        """Where it stands among flags of all checks: 0 is the worst, 1 just reaches its threshold or does not."""
        return min(1.0, (1 - self.score) / (1 - self.threshold))


def scored(measured: Measured, operation: str, own: Thresholds = OURS) -> list[Score]:
    """The checks that a measured result of `operation` gets, but for copies, which others decide.

    `own` are the thresholds of the account that made it.
    """
    return [
        Score(name, min(1.0, max(0.0, score)), threshold)
        for name, score in _scores(measured).items()
        if score is not None and (threshold := threshold_of(name, operation, own)) is not None
    ]


def near_duplicate(distance: int, operation: str, own: Thresholds = OURS) -> list[Score]:
    """The check of a result whose hash differs by so many bits from another job's; none where it is left out."""
    threshold = threshold_of(CheckName.NEAR_DUPLICATE, operation, own)
    return [] if threshold is None else [Score(CheckName.NEAR_DUPLICATE, 1 - distance / HASH_BITS, threshold)]


def threshold_of(name: CheckName, operation: str, own: Thresholds = OURS) -> float | None:
    """The score from which on a check flags a result of `operation`; None where it is left out."""
    if name in own:
        return own[name]
    return PER_OPERATION.get(operation, {}).get(name, THRESHOLDS[name])


def bands(hash_: int) -> list[int]:
    """The four quarters of a hash. Hashes that differ in up to three bits have one in common; up to six, mostly."""
    return [hash_ >> shift & 0xFFFF for shift in (48, 32, 16, 0)]


def _scores(measured: Measured) -> dict[CheckName, float | None]:
    blank = 1 - measured.entropy / NO_ENTROPY
    if blank >= THRESHOLDS[CheckName.BLANK]:
        return {CheckName.BLANK: blank}  # what else could be said of it
    before, after = measured.before, measured.after
    # Where the detector saw no face before, it cannot be asked whether it is still there.
    counted = before and after is not None
    return {
        CheckName.BLANK: blank,
        CheckName.NO_FACE: None if measured.presence is None or before == 0 else 1 - measured.presence,
        CheckName.FEWER_FACES: (before - after) / before if before and after else None,
        CheckName.MORE_FACES: (after - before) / max(after, 1) if counted and before and after is not None else None,
        CheckName.FACE_UNCHANGED: _below(measured.face_difference, FACE_LEVELS),
        CheckName.OTHER_PERSON: _share(measured.person_distance, APART),
        CheckName.CHANGED_OUTSIDE: _share(measured.outside_difference, OUTSIDE_LEVELS),
        CheckName.BLURRED: None if measured.sharpness is None else 1 - measured.sharpness,
        CheckName.OTHER_SIZE: _misfit(measured.size, measured.expected),
    }


def _share(value: float | None, whole: float) -> float | None:
    return None if value is None else value / whole


def _below(value: float | None, whole: float) -> float | None:
    return None if value is None else 1 - value / whole


def _misfit(size: tuple[int, int] | None, expected: tuple[int, int] | None) -> float | None:
    """By how much the shape differs, or the width falls short; a larger picture of the same shape is none."""
    if size is None or expected is None:
        return None
    shape = (size[0] * expected[1]) / (size[1] * expected[0])
    return max(1 - min(shape, 1 / shape), 1 - size[0] / expected[0])
