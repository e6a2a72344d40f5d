"""Accounts at work: whether one may take another submission, what it may spend, and what it has learned."""
