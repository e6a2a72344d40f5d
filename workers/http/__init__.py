"""What goes over the network to providers, and the secrets that go with it."""
