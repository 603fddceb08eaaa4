"""Which axis of a value holds samples, and which holds units."""
