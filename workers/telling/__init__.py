"""Telling others how jobs ended: waiting producers, Flower, webhooks, metrics."""
