"""SVG pictures from plain data, without scripts or inline styles, and with all text escaped."""
