"""Jobs of producers' tasks: acceptance, completion notices and revocation."""
