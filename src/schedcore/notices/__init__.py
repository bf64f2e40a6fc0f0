"""Notices about jobs: through functions, webhooks, and pings."""
