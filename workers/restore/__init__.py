"""Recovery after a restore of the database from a backup: nothing is paid a second time."""
