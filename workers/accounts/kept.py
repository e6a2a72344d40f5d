"""What is read of documents that were kept in an account's row: other versions, and people, may have written them."""

from __future__ import annotations

import math
from typing import TypeGuard


def is_amount(value: object) -> TypeGuard[float]:
    """Whether a value of JSON is a number that can be counted with: finite, and not negative."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
