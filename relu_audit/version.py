"""Which program this is."""

from __future__ import annotations

import relu_audit


def tool_name() -> str:
    """Name and version, as reports give them."""
    return f"relu-audit {relu_audit.__version__}"
