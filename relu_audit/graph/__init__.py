"""What the file says: the checkpoint, its graph, its rectifiers and which of their axes are units."""
