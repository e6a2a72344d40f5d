"""Reports of batches, jobs, spend, invoices and exports."""
