"""Who is served, as whom, and what they may have called."""
