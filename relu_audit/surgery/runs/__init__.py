"""What real runs of the model show: sizes, numbers, ranges, how data moves."""
