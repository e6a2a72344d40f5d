"""Schedules: when they fire, and what a firing does."""
