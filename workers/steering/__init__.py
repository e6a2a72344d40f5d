"""What people do: to many jobs at once, to pictures, after a restore, at a first contact."""
