"""What operators do to axes and entries: the tables, and how a row is read."""
