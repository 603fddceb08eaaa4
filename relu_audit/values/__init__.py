"""What is known of values: signs, bounds, weights that bear units."""
