"""What it means: status, evidence and the gate, as pure functions of what was counted."""
