"""Whether a picture shows a face, asked before it is paid for; only for accounts with `check_face`.

The face engine is an optional extra (`recast-server[local]`), without which `workers.config.accounts` refuses it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

REMEMBERED = 65_536  # verdicts that are kept, by the digest of the bytes; an entry takes about 200 bytes


class FaceCheck:
    """Looks for faces; safe to use from many threads."""

    def __init__(self) -> None:
        self._verdicts: OrderedDict[str, bool] = OrderedDict()
        self._lock = threading.Lock()

    def shows_face(self, data: bytes, sha256: str) -> bool:
        """Whether the picture `data`, whose digest is `sha256`, shows at least one face."""
        with self._lock:
            known = self._verdicts.get(sha256)
        if known is not None:
            return known
        # Only here: OpenCV takes long to load, and most deployments never ask.
        import faces  # noqa: PLC0415

        found = bool(faces.detect(faces.decode(data)))
        with self._lock:
            self._verdicts[sha256] = found
            while len(self._verdicts) > REMEMBERED:
                self._verdicts.popitem(last=False)
        return found
