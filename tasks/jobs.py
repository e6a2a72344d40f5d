"""The producers' tasks; see `workers.producers.deferred`."""

from workers.producers.deferred import generate, swap

__all__ = ["generate", "swap"]
