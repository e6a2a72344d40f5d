"""Whether processes can do their work, what they log, and what a scrape tells."""
