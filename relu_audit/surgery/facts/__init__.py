"""What ties entries of values together: links, mixes and pins."""
