"""Accounts, their gates, and what may be spent."""
