"""Which entries go: the greatest fixpoint, and the least premise."""
