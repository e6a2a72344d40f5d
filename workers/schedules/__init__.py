"""Schedules: when they fire, and the runs that they start."""
