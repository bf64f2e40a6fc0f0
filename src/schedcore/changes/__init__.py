"""Changes of jobs: who makes them, how they are made, what is kept of them, and who follows."""
