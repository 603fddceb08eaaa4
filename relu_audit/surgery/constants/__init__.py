"""What is constant, and where a constant can go."""
