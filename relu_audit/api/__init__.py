"""What the package offers to programs."""
