"""What a deployment is told: its settings and its accounts file."""
