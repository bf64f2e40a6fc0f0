"""How a scheduler lives: its states and its health, its process among others, and its end."""
