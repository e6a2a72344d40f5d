"""Thresholds of quality checks that an account sets for an operation; ours are in `workers.images.check_rules`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import BeforeValidator

from models.checks import CheckName

#: By check: the score from which on a picture is flagged; None leaves the check out.
Thresholds = Mapping[CheckName, float | None]

OFF: Final = "off"
#: The index of hashes finds pictures that are so alike; of those that are less alike, it finds some.
LEAST_ALIKE: Final = 58 / 64


def _read(value: object) -> dict[str, dict[CheckName, float | None]]:
    operations = _table("", value, "operations with their checks: { swap = { blurred = 0.9 } }")
    return {operation: _checks(operation, checks) for operation, checks in operations.items()}


def _checks(operation: str, value: object) -> dict[CheckName, float | None]:
    checks = _table(f"{operation} ", value, "checks with their thresholds: { blurred = 0.9 }")
    unknown = [name for name in checks if name not in set(CheckName)]
    if unknown:
        raise ValueError(f"{operation} has the check {unknown[0]!r}; allowed: {', '.join(CheckName)}")
    return {CheckName(name): _threshold(f"{operation}.{name}", CheckName(name), own) for name, own in checks.items()}


def _table(where: str, value: object, example: str) -> dict[str, object]:
    if isinstance(value, Mapping):
        return {str(name): each for name, each in value.items()}
    raise ValueError(f"{where}is {value!r}; write {example}")


def _threshold(where: str, name: CheckName, value: object) -> float | None:
    if value == OFF:
        return None
    least = LEAST_ALIKE if name is CheckName.NEAR_DUPLICATE else 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not max(least, 1e-9) <= value < 1:
        allowed = f"{least:g} or more" if least else "above 0"
        raise ValueError(f'{where} is {value!r}; allowed: a score {allowed} and below 1, or "{OFF}"')
    return float(value)


#: The setting of an account: thresholds by operation, without the provider's name.
OwnThresholds = Annotated[Mapping[str, Thresholds], BeforeValidator(_read)]
