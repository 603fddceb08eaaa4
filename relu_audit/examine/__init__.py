"""What follows from an audit for its dead units: why they died, what hangs on them, what pruning would give back."""
