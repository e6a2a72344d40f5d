"""What people do: to many jobs at once, to held jobs, to pictures, at a first contact."""
