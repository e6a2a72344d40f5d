"""Every Celery task, thin: arguments are ids or small JSON, the work is a call into `workers`."""
