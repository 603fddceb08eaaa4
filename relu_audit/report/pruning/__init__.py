"""A pruning, written for the terminal, as JSON and as a page."""
