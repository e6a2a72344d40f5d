"""Names that are loaded when they are needed, written as ``module:name``: a module that is not used costs nothing.

A command of ours would otherwise import everything that any command needs, which takes longer than most commands.
`tests/unit/cli/test_start.py` holds that each name exists, and what may be loaded by when.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import Any


def load(place: str) -> Any:
    """What ``module:name`` names.

    Imports leave nothing behind to be collected, and take an eighth longer when it is looked for.
    """
    module, _, name = place.partition(":")
    collects = gc.isenabled()
    gc.disable()
    try:
        return getattr(import_module(module), name)
    finally:
        if collects:
            gc.enable()


def if_loaded(place: str) -> Any:
    """What ``module:name`` names, or None as long as nothing has imported the module."""
    module, _, name = place.partition(":")
    return getattr(sys.modules.get(module), name, None)
