"""How it is told: one writer per format, each a pure function of an audit."""
