"""The same work done in several ways and measured in one run: by Celery, by Dramatiq, by Recast, and by a bare loop."""
