"""Which program this is."""

from __future__ import annotations

__version__ = "0.1.0"


def tool_name() -> str:
    """Name and version, as reports give them."""
    return f"relu-audit {__version__}"
