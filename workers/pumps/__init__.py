"""The pumps: claim, submit, poll, store and tell in time slices under leases, with everything they decide."""
