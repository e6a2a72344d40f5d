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

    Nothing that an import makes is garbage, so it is never searched for any: not while it is made, which would take an
    eighth longer, and not at the end of the process, which would take a short command a fifth of its time.
    """
    module, _, name = place.partition(":")
    collects = gc.isenabled()
    gc.disable()
    try:
        return getattr(import_module(module), name)
    finally:
        gc.freeze()
        if collects:
            gc.enable()


def if_loaded(place: str) -> Any:
    """What ``module:name`` names, or None as long as nothing has imported the module."""
    module, _, name = place.partition(":")
    return getattr(sys.modules.get(module), name, None)
