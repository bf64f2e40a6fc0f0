"""Importing and exporting jobs: they are read as values, then added to a store."""
