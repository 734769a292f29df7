"""A daemon's metrics as they are scraped."""
