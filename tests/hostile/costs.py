"""What each slow picture costs, measured in processes of their own: ``python -m tests.hostile.costs`` prints JSON.

A picture goes the way of a provider's result: checked, made smaller, marked.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from tests.hostile import manifests, slow_pictures
from tests.hostile.cases import Case
from tests.memory import taken
from workers.images.results import made_of
from workers.images.segments import BadPictureError
from workers.images.thumbnails import thumbnail

CASES = (*slow_pictures.CASES, *manifests.CASES)


def main() -> None:
    """Measure all cases, one after another."""
    found = {case.name: _measured(case) for case in CASES}
    sys.stdout.write(json.dumps(found))


def _measured(case: Case) -> dict[str, Any]:
    data = case.make()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, json.dumps(_tried(data)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    document: dict[str, Any] = json.loads(said)
    return document


def _tried(data: bytes) -> dict[str, Any]:
    began, error, stated = time.process_time(), None, None
    with taken() as memory:
        try:
            made = made_of(data, "swap", mark=True)
            # What was written is a picture again.
            thumbnail(made.file.data)
            stated = [made.provenance, made.source_type, made.file.data == data]
        except BadPictureError as found:
            error = str(found)
    return {"seconds": time.process_time() - began, "megabytes": memory.bytes / 1e6, "error": error, "stated": stated}


if __name__ == "__main__":
    main()
