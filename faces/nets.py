"""The two neural networks, loaded once per process.

Both come from MediaPipe (Google, Apache-2.0, licence beside the files): BlazeFace short range, and Face Mesh.
OpenCV 5 reads these TFLite graphs with its classic engine only.
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

MODELS = Path(__file__).parent / "models"


class Net:
    """One network that any thread may call.

    `cv2.dnn.Net` keeps its input and output in itself, so calls take turns; a call lasts about 2 ms.
    """

    def __init__(self, file: Path, outputs: tuple[str, ...]) -> None:
        """Load the TFLite `file` and remember which of its `outputs` callers want, in their order."""
        # By path: given bytes instead, OpenCV 5.0.0 ignores the engine asked for.
        self._net = cv2.dnn.readNetFromTFLite(str(file), cv2.dnn.ENGINE_CLASSIC)
        self._outputs = outputs
        self._lock = threading.Lock()

    def __call__(self, blob: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Run the network on a (1, 3, height, width) float32 `blob` and return the outputs, copied."""
        with self._lock:
            self._net.setInput(blob)
            return [np.array(output, np.float32) for output in self._net.forward(list(self._outputs))]


_loading = threading.Lock()


@cache
def _load(file: str, outputs: tuple[str, ...]) -> Net:
    return Net(MODELS / file, outputs)


def detector() -> Net:
    """BlazeFace: 128 x 128 RGB in -1..1 to 896 score logits and 896 x 16 box and key point values."""
    with _loading:  # `cache` alone lets two first callers load twice
        return _load("face_detection_short_range.tflite", ("classificators", "regressors"))


def mesher() -> Net:
    """Face Mesh: 192 x 192 RGB in 0..1 to 468 points (x, y, z in pixels of the input) and a face-presence logit."""
    with _loading:
        return _load("face_landmark.tflite", ("conv2d_21", "conv2d_31"))
