"""`make checks`: planted faults among good results, and what the quality checks say of them.

The thresholds were chosen by numbers of one half (`--half chosen`); what is printed is of the other half.

    python -m tests.checks --good 2000 --faults 500 --processes 2
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean

import cv2
import numpy as np

from faces import likeness
from models.checks import CheckName
from tests.checks.material import KINDS, TELLS_PEOPLE_APART, Case, faulty, good
from workers.images.check_rules import TARGETS_ALIKE, Measured, Score, bands, near_duplicate, scored
from workers.images.checks import Checked, Opened, check, opened

SEEDS = {"chosen": 1, "reported": 2}
FOUND, FALSE_ALARMS, CPU_MS = 0.95, 0.02, 60.0  # what must be reached, the CPU for the mean of all pictures
FIRST_FAULT = 900_000  # faults and good results have different numbers, so different pictures


@dataclass(frozen=True, slots=True)
class Seen:
    """What the checks said of one case, and the CPU that they took, in parts."""

    number: int
    kind: str | None
    operation: str
    checked: Checked
    cpu_ms: float
    decoding_ms: float
    #: Of telling people apart, which is an extra of its own.
    likeness_ms: float


@dataclass(slots=True)
class Tally:
    """All that was seen, and the flags of each case; of near-duplicates by the rule of the workers' statement."""

    seen: list[Seen]
    flags: dict[int, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        hashed = _by_band(self.seen)
        for each in self.seen:
            scores = [*each.checked.scores, *_copies(each, hashed)]
            self.flags[each.number] = {str(score.name) for score in scores if score.flagged}

    def found(self, kind: str) -> tuple[int, int]:
        """How many faults of a kind were found by its own check, of how many."""
        planted = [each for each in self.seen if each.kind == kind]
        return sum(kind in self.flags[each.number] for each in planted), len(planted)

    def alarms(self, name: str | None = None) -> tuple[int, int]:
        """How many good results were flagged, by one check or any."""
        fine = [each for each in self.seen if each.kind is None]
        return sum(
            bool(self.flags[each.number] if name is None else name in self.flags[each.number]) for each in fine
        ), len(fine)


def run(seed: int, goods: int, faults: int, processes: int) -> Tally:
    """Make and check so many pictures."""
    numbers = [*range(goods), *range(FIRST_FAULT, FIRST_FAULT + faults)]
    work = [(seed, number) for number in numbers]
    if processes == 1:
        cv2.setNumThreads(1)  # so that the CPU of this thread is all there is
        return Tally([_seen(each) for each in work])
    with multiprocessing.Pool(processes, cv2.setNumThreads, (1,)) as pool:
        return Tally(list(pool.imap(_seen, work, chunksize=3)))


def _seen(numbered: tuple[int, int]) -> Seen:
    seed, number = numbered
    case = faulty(seed, number) if number >= FIRST_FAULT else good(seed, number)
    began = time.thread_time()
    result = opened(case.result)
    target = None if case.target is None or result.blank else opened(case.target)
    decoded = time.thread_time()
    checked = check(result, target, OPERATIONS[case.operation], {})
    ended = time.thread_time()
    scores = _of_person(case, result) if not result.blank else ()
    told = time.thread_time()
    checked = replace(checked, scores=(*checked.scores, *scores))
    times = [(until - since) * 1e3 for since, until in ((decoded, ended), (began, decoded), (ended, told))]
    return Seen(number, case.fault, case.operation, checked, *times)


def _of_person(case: Case, result: Opened) -> tuple[Score, ...]:
    if case.person is None or not TELLS_PEOPLE_APART:
        return ()
    person = opened(case.person).image
    distance = likeness.distance(np.asarray(person), np.asarray(result.image))
    known = Measured(result.entropy, person_distance=distance)
    return tuple(score for score in scored(known, OPERATIONS[case.operation]) if score.name == CheckName.OTHER_PERSON)


OPERATIONS = {"swap": "zhiqite.swap_v2", "generate": "qolaba.consistency"}


def _by_band(seen: Iterable[Seen]) -> dict[tuple[int, int], list[Seen]]:
    """Good results of one batch by the quarters of their hashes."""
    found: dict[tuple[int, int], list[Seen]] = defaultdict(list)
    for each in seen:
        if each.checked.hash is not None and each.kind is None:
            for band in enumerate(bands(each.checked.hash)):
                found[band].append(each)
    return found


def _copies(seen: Seen, hashed: dict[tuple[int, int], list[Seen]]) -> list[Score]:
    one = seen.checked
    if one.hash is None or seen.operation == "generate":
        return []
    near = [
        _distance(one.hash, other.checked.hash)
        for band in enumerate(bands(one.hash))
        for other in hashed[band]
        if other.number < seen.number and _distance(one.target_hash, other.checked.target_hash) > TARGETS_ALIKE
    ]
    return near_duplicate(min(near), OPERATIONS[seen.operation]) if near else []


def _distance(one: int | None, other: int | None) -> int:
    return 64 if one is None or other is None else ((one ^ other) & (1 << 64) - 1).bit_count()


def report(tally: Tally) -> bool:
    """Print a line for each kind; whether everything was reached."""
    _say(f"{'check':<16} {'planted':>8} {'found':>8} {'false alarms':>13}")
    reached = True
    for kind in KINDS:
        found, planted = tally.found(kind)
        alarms, fine = tally.alarms(kind)
        reached &= found >= FOUND * planted
        _say(f"{kind:<16} {planted:>8,} {found / max(1, planted):>8.1%} {alarms / max(1, fine):>13.2%}")
    found, planted = (sum(column) for column in zip(*map(tally.found, KINDS), strict=True))
    alarms, fine = tally.alarms()
    _say(f"{'all':<16} {planted:>8,} {found / max(1, planted):>8.1%} {alarms / max(1, fine):>13.2%}")
    fines = [each for each in tally.seen if each.kind is None]
    for name in ("swap", "generate"):
        some = [each for each in fines if each.operation == name]
        _say(
            f"CPU of a good {name}: {mean(each.cpu_ms for each in some):.0f} ms to compare, "
            f"{mean(each.decoding_ms for each in some):.0f} ms to decode"
        )
    if TELLS_PEOPLE_APART:
        _say(f"Telling people apart, beside it: {mean(each.likeness_ms for each in fines):.0f} ms")
    cpu = mean(each.cpu_ms + each.decoding_ms for each in fines)
    _say(f"CPU of a good picture, all in all: {cpu:.0f} ms (at most {CPU_MS:.0f})")
    return bool(reached and alarms <= FALSE_ALARMS * fine and cpu <= CPU_MS)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main(arguments: Sequence[str]) -> int:
    """Run it; 1 where something was not reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--good", type=int, default=2_000)
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--half", choices=SEEDS, default="reported")
    parser.add_argument("--details", action="store_true", help="list what was missed, and what was flagged wrongly")
    options = parser.parse_args(arguments)
    tally = run(SEEDS[options.half], options.good, options.faults, options.processes)
    if options.details:
        for each in tally.seen:
            wrong = each.kind is None and tally.flags[each.number]
            if wrong or (each.kind is not None and each.kind not in tally.flags[each.number]):
                scores = {str(score.name): round(score.score, 2) for score in each.checked.scores}
                _say(f"{each.kind} {each.number} {sorted(tally.flags[each.number])} {scores}")
    return 0 if report(tally) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
