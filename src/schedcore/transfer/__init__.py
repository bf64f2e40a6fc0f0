"""Jobs from elsewhere, and as files: read as values, then put into a store."""
