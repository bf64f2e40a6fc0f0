"""The methods of a scheduler, and their building blocks."""
