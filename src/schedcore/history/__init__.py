"""What became of runs and of due times: records, which of them are asked for, and totals."""
