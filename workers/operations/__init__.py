"""Admin operations: on many jobs at once, on held jobs, on pictures, and the paid check."""
