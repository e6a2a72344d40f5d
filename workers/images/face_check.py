"""The face check: whether a picture shows a face, before it is paid for; only for accounts with `check_face`.

The face engine is an optional extra (`recast-server[faces]`), without which `workers.config.accounts` refuses it.
"""

from __future__ import annotations

from workers.cache import Cache

REMEMBERED = 65_536  # verdicts that are kept, by the digest of the bytes; an entry takes about 200 bytes


class FaceCheck:
    """Looks for faces; safe to use from many threads."""

    def __init__(self) -> None:
        self._verdicts: Cache[str, bool] = Cache(REMEMBERED)

    def shows_face(self, data: bytes, sha256: str) -> bool:
        """Whether the picture `data`, whose digest is `sha256`, shows at least one face."""
        return self._verdicts.get_or_make(sha256, lambda: _detect(data))


def _detect(data: bytes) -> bool:
    # Only here: OpenCV takes long to load, and most deployments never ask.
    import faces  # noqa: PLC0415

    return bool(faces.detect(faces.decode(data)))
