"""The producers' tasks, declared in `workers.deferred`: producers can import that whatever their modules are called."""

from workers.deferred import generate, swap

__all__ = ["generate", "swap"]
