"""Errors of the face engine.

ValueError
├── NoFaceError       the picture shows no face, or fewer than asked for
└── NotAPictureError  the bytes are not an image that can be decoded
"""

from __future__ import annotations


class NoFaceError(ValueError):
    """The picture named in the message shows no usable face, or not the one that was asked for."""


class NotAPictureError(ValueError):
    """The bytes are not a complete image in a format OpenCV reads (JPEG, PNG, WebP and the like)."""
