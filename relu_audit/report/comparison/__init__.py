"""A comparison of two audits, written for the terminal, as JSON, Markdown and a page."""
