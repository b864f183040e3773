"""Charts as SVG text, made by the server; no chart library."""
