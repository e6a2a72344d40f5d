"""What each slow picture costs, measured in processes of their own: ``python -m tests.hostile.costs`` prints JSON.

A picture goes the way of a provider's result: checked, made smaller, marked.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from tests.hostile import slow_pictures
from tests.hostile.cases import Case
from tests.memory import taken
from workers.images.provenance import SOURCE_TYPES, marked
from workers.images.segments import BadPictureError
from workers.images.thumbnails import thumbnail
from workers.images.verify import verify


def main() -> None:
    """Measure all cases, one after another."""
    found = {case.name: _measured(case) for case in slow_pictures.CASES}
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
    began, error = time.process_time(), None
    with taken() as memory:
        try:
            picture = verify(data)
            made = marked(data, picture.media_type, SOURCE_TYPES["swap"])
            # What was written is a picture again.
            thumbnail(made)
        except BadPictureError as found:
            error = str(found)
    return {"seconds": time.process_time() - began, "megabytes": memory.bytes / 1e6, "error": error}


if __name__ == "__main__":
    main()
