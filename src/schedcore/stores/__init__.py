"""Where jobs and their due times are kept."""
