"""Pictures: what jobs name, what providers get, what is stored, and how it goes again."""
