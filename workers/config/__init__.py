"""Configuration of a deployment: settings and the accounts file."""
