"""The face engine: finds faces, swaps them, makes portraits and cutouts, on this machine and without a provider.

The provider sandbox uses it, and the check of input pictures uses it to find faces. It does not compete with paid
providers: a swap is a geometric and photometric transfer, not a generated picture.

Needs the optional extra `local` (NumPy and OpenCV 5). Every function can be called from any thread; the caller decides
how many threads OpenCV itself uses (`cv2.setNumThreads`).

    detect(picture) -> faces from left to right             swap(source, target) -> picture
    head_box(face) -> what a swap may touch                 portrait(reference, prompt=...) -> picture
    decode(bytes), encode(picture, "jpeg")                  cutout(picture) -> RGBA, flatten(cutout, "#ffffff")
"""

from __future__ import annotations

try:
    import cv2  # noqa: F401  only to say clearly what is missing
    import numpy as np  # noqa: F401
except ImportError as missing:
    raise ImportError(
        f"the face engine needs OpenCV and NumPy ({missing}); install them with: pip install 'recast-server[faces]'"
    ) from missing

from faces.errors import NoFaceError, NotAPictureError
from faces.finding import Face, detect, head_box
from faces.matting import cutout
from faces.pictures import Picture, decode, encode, flatten, resize
from faces.portraits import portrait
from faces.swapping import swap

__all__ = [
    "Face",
    "NoFaceError",
    "NotAPictureError",
    "Picture",
    "cutout",
    "decode",
    "detect",
    "encode",
    "flatten",
    "head_box",
    "portrait",
    "resize",
    "swap",
]
