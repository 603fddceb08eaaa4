"""The cut, written into the graph."""
