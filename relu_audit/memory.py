"""How much memory a process may take, and what is known beforehand to need more."""

from __future__ import annotations

import os
from pathlib import Path

from relu_audit.errors import RunError, UsageError

try:
    import resource
except ImportError:  # a system without it
    resource = None

_MAPPED = Path("/proc/self/statm")
"""Where Linux says how many pages a process has mapped."""

HINT = "Allow more with --memory-limit, feed fewer samples at once with --batch-size, or use a larger machine."


def limit(size: int) -> None:
    """Let the process map so many bytes more than it has mapped already, files that it reads included.

    Args:
        size: Bytes.

    Raises:
        UsageError: ``memory-limit`` on systems that cannot do that.
    """
    if resource is None or not _MAPPED.exists():
        raise UsageError(
            "this system cannot limit the memory of a process",
            slug="memory-limit",
            hint="Leave --memory-limit out, or limit the memory of the container that the command runs in.",
        )
    mapped = int(_MAPPED.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = mapped + size if most == resource.RLIM_INFINITY else min(mapped + size, most)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


def most() -> int | None:
    """The most bytes that the process can ever have: by its limit, else by the machine's memory; None if unknown."""
    bounds: list[int] = []
    if resource is not None and (soft := resource.getrlimit(resource.RLIMIT_AS)[0]) != resource.RLIM_INFINITY:
        bounds.append(soft)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        bounds.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(bounds, default=None)


def exceeded(what: str) -> RunError:
    """The error for what takes more memory than there is."""
    return RunError(f"{what} takes more memory than there is", slug="memory", hint=HINT)
