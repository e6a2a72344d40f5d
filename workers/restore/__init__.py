"""After the database was restored from a backup: nothing is paid a second time."""
