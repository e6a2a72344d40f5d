"""Celery: the app, its queues, the broker, beat, and the events that Flower shows."""
