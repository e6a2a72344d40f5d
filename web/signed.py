"""Paths that we signed: of media links, and of callbacks. Nobody can guess one, and to know one costs a hash."""

from __future__ import annotations

from web.prefix import within
from workers.http.urls import CALLBACKS, MEDIA, CallbackTokens
from workers.images.signed_urls import BadLinkError, MediaSigner


class Signed:
    """Tells paths that we signed from those that anybody can make.

    Args:
        media: knows media links.
        callbacks: knows the tokens of callbacks.
        prefix: the path below which the application is served, too.
    """

    def __init__(self, media: MediaSigner, callbacks: CallbackTokens, prefix: str) -> None:
        self._media, self._callbacks, self._prefix = media, callbacks, prefix

    def __call__(self, path: str) -> bool:
        """Whether we signed this path of a request."""
        path = within(self._prefix, path)
        if path.startswith(f"{CALLBACKS}/"):
            return self._callbacks.is_own(path.removeprefix(f"{CALLBACKS}/"))
        if not path.startswith(f"{MEDIA}/"):
            return False
        expires, _, rest = path.removeprefix(f"{MEDIA}/").partition("/")
        signature, _, key = rest.partition("/")
        try:
            self._media.check(expires, signature, key)
        except BadLinkError:
            return False
        return True
