"""Tells people and programs how jobs do: through functions, webhooks, and pings."""
