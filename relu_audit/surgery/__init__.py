"""What can be done about it: cut units out of the graph without changing what it computes, and check that it did."""
