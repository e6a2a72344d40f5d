"""Image processing and storage: inputs, results, their checks and their storage."""
