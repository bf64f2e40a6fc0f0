"""Pictures in SVG, made of plain data: no script, no inline style, and every text escaped."""
