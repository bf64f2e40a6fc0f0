"""The methods of a scheduler, and what they are made of."""
