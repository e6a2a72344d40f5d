"""Jobs as rows: requests, routing, and every transition of a job or an attempt."""
