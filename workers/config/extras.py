"""What an optional extra brings, looked up without importing it, so that what needs it is refused before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

#: The modules of the face engine, which checks pictures for faces and makes the sandbox's pictures.
FACE_ENGINE = ("cv2", "numpy")
#: The modules of the face embedding, which tells people apart.
LIKENESS = (*FACE_ENGINE, "dlib", "face_recognition_models")
#: The modules of the sandbox: the face engine, and what reads its uploads.
SANDBOX = (*FACE_ENGINE, "python_multipart")


def missing(modules: Sequence[str]) -> str:
    """Which of these modules cannot be imported here, as text; empty if all can."""
    return ", ".join(name for name in modules if find_spec(name) is None)
