"""Notifications over HTTP: messages, their delivery, and the webhooks themselves."""
