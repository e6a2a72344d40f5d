"""What runs behind a task: the Celery app and its settings, the pumps, the gate, leases, HTTP, inputs and storage."""
