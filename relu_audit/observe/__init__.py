"""What the data does: calibration data in, per-unit counts and extrema out."""
