"""The lifetime of a scheduler: its states, its health, its node on a shared store, its end."""
