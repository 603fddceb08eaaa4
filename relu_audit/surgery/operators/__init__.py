"""What operators do to values when an axis is cut: the laws, and how a cut is written."""
