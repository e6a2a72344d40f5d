"""Accounts at run time: admission, budgets, overrides, latencies and tokens."""
