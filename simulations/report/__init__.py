"""A finished run as a table in the terminal and as one HTML page."""
