"""The HTTP client for providers and receivers, and the protection of secrets."""
