"""Outcomes of runs and of due times: records, queries for them, and totals."""
