"""What became of jobs: batches, single jobs, spending, invoices, exports."""
