"""The tables, the job and attempt state machines as data, and the engine that reaches them.

This package is the ground floor: it imports nothing else of the project.
"""
