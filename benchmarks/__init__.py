"""The same work done in several ways, measured in one run: idiomatic Celery, Dramatiq, Recast, a bare loop as the limit."""
