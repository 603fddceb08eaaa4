"""Names from a model's file, made short enough to stand in a sentence."""

from __future__ import annotations

import re

from relu_audit.errors import one_line
from relu_audit.records import ConfigurationInfo

LONGEST_NAME = 100
"""Characters of a name that are shown; the JSON has all of them."""

COMMAND_MARK = re.compile(r"##(?=\w*\[)")
"""What begins a command to a CI service anywhere in a line of its log, as ``##vso[`` and ``##[error]``.

Sources: azure-pipelines-agent, ``Command.cs``; actions/runner, ``ActionCommand.cs``; TeamCity, "Service messages".
"""

_HEAD = 20


def settings_line(configuration: ConfigurationInfo) -> str:
    """The line that names the configuration file in use."""
    return f"settings: {one_line(configuration.name)}, SHA-256 {configuration.sha256}"


def short(name: str) -> str:
    """A name for a terminal: no codes that move the cursor, and not longer than a line."""
    return clipped(one_line(name))


def clipped(name: str) -> str:
    """The name, or the two ends of one that is longer than ``LONGEST_NAME``.

    >>> clipped("a" * 100) == "a" * 100, len(clipped("a" * 101)), clipped("b" * 101)[19:24]
    (True, 100, 'b...b')
    """
    return name if len(name) <= LONGEST_NAME else f"{name[:_HEAD]}...{name[_HEAD + 3 - LONGEST_NAME :]}"
