"""The worker service: the Celery app and its settings, the pumps, admission, leases, HTTP, inputs and storage."""
