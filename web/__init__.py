"""What Recast serves over HTTP: health, and signed pictures for providers that fetch their inputs by URL."""
