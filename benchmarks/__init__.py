"""The same work done three ways, measured in one run: idiomatic Celery, Recast, and a bare loop as the limit."""
