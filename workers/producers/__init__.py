"""Jobs of producers' tasks: how they come in, how their ends are told, and how they are revoked."""
