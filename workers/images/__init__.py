"""Pictures: what jobs name, what providers get, and what is stored."""
