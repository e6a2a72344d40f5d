"""The dispatcher loops (pumps): claim, submit, poll and store in time slices under leases."""
