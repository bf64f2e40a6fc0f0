"""Changes of jobs: how they are made, who makes them, the audit, and the change feed."""
