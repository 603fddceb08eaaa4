"""The axis table together with rows for operators of other domains, which users and packages add.

A row is a table of settings, as TOML has them: ``domain``, ``op`` and ``signature``, in the notation of
:mod:`relu_audit.operators.axes`; perhaps ``since``, ``mixes``, ``placed``, ``rigid`` and ``couples``. Axes are told by
symbols of the signature's first term.
"""

from __future__ import annotations

import difflib
import functools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from relu_audit.errors import UsageError, quoted
from relu_audit.operators import axes
from relu_audit.operators.along import Along, nowhere
from relu_audit.operators.axis_rule import AxisRule
from relu_audit.operators.layout import numbered
from relu_audit.operators.moves import Operation
from relu_audit.operators.terms import Term, matched, term_of

Rules = Callable[[str, str, int], AxisRule | None]
"""Looks a row up by domain, operator and opset; None freezes the operator's axes."""

GROUP = "relu_audit.operators"
"""Entry points of packages that bring rows: a row, a list of rows, or a function that returns either."""

_Operator = tuple[str, str]

_KEYS: Mapping[str, type | tuple[type, ...]] = {
    "domain": str,
    "op": str,
    "signature": str,
    "since": int,
    "mixes": (str, list),
    "placed": (str, list),
    "rigid": bool,
    "couples": bool,
}
_TERM = re.compile(r"(?:\s*(?:\([A-Za-z](?:\s+[A-Za-z])*\)|[A-Za-z~*_]))*\s*")
_HINT = 'Write, say, { domain = "my.domain", op = "MyOp", signature = "n c ~, c -> n c ~", mixes = "~" }.'


@dataclass(frozen=True)
class Table:
    """The axis table and rows beside it.

    Attributes:
        added: Rows by domain and operator, latest opset first.
        sources: Who states them.
    """

    added: Mapping[tuple[str, str], Sequence[AxisRule]] = field(
        default_factory=dict[tuple[str, str], Sequence[AxisRule]]
    )
    sources: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    def __call__(self, domain: str, op: str, opset: int) -> AxisRule | None:
        """The row that holds for an operator at an opset."""
        beside = self.added.get(("" if domain == "ai.onnx" else domain, op), ())
        return next((row for row in beside if row.since <= opset), None) or axes.rule(domain, op, opset)

    def stated(self, domain: str, op: str) -> str:
        """A remark that an operator's row is stated, and by whom; empty for one of the axis table."""
        source = self.sources.get(("" if domain == "ai.onnx" else domain, op))
        return "" if source is None else f"what {domain}.{op} does to axes is what {source}"


BUILT_IN = Table()


def table_with(given: Iterable[Mapping[str, Any]]) -> Table:
    """The axis table with the rows of installed packages, and a user's own, which go before those.

    Raises:
        UsageError: ``operator-row`` for a row that is not one, or whose operator has a row.
    """
    added: dict[_Operator, list[AxisRule]] = {}
    sources: dict[_Operator, str] = {}
    for source, rows in (("you state", [*given]), *_installed()):
        for row in map(row_of, rows):
            key = (row.domain, row.op)
            if sources.setdefault(key, source) != source:
                continue  # stated by somebody who goes before
            if any(row.since == other.since for other in added.get(key, ())):
                raise _refused(f"two rows are for {_name(row)} from version {row.since} on", "Leave one of them out.")
            added.setdefault(key, []).append(row)
    return Table({key: sorted(rows, key=lambda row: -row.since) for key, rows in added.items()}, sources)


def row_of(given: Mapping[str, Any]) -> AxisRule:
    """A row from its settings.

    Args:
        given: ``domain``, ``op``, ``signature``; perhaps ``since`` (a version of the domain), ``mixes`` and ``placed``
            (symbols of the first term), ``rigid`` (whether axes ``~`` keep their length) and ``couples``.

    Raises:
        UsageError: ``operator-row`` for settings that make no row, or for an operator that has a row.
    """
    for key, value in given.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.4)
            hint = f"Did you mean '{near[0]}'?" if near else f"Settings: {', '.join(_KEYS)}."
            raise _refused(f"'{key}' is no setting of an operator's row", hint)
        if not isinstance(value, _KEYS[key]) or (isinstance(value, bool) and _KEYS[key] is int):
            raise _refused(f"'{key}' of an operator's row cannot be {value!r}", _HINT)
    for key in ("domain", "op", "signature"):
        if key not in given:
            raise _refused(f"an operator's row lacks '{key}'", _HINT)
    name = f"{given['domain']}.{given['op']}"
    first = _first_term(name, given["signature"])
    row = AxisRule(
        given["op"],
        given["signature"],
        rigid=given.get("rigid", False),
        mixes=_symbols(name, "mixes", given.get("mixes", ""), first),
        placed=_symbols(name, "placed", given.get("placed", ""), first),
        couples=given.get("couples", False),
        since=given.get("since", 1),
        domain="" if given["domain"] == "ai.onnx" else given["domain"],
    )
    if axes.rule(row.domain, row.op, 1 << 30) is not None:
        raise _refused(f"the operator {_name(row)} has a row already", "Rows of the axis table cannot be replaced.")
    return row


def _first_term(name: str, signature: str) -> Term:
    """The first operand's term, once all terms have been checked."""
    left, *others = signature.split("->")
    if len(others) != 1:
        raise _refused(f"{name}: the signature '{signature}' must have one '->'", _HINT)
    operands = left.rstrip().removesuffix("+").split(",")
    for text in (*operands, *others[0].split(",")):
        if _TERM.fullmatch(text) is None:
            raise _refused(f"{name}: '{text.strip()}' is no term of a signature", _HINT)
        if sum(symbol in "~*_" for symbol in term_of(text)) > 1:
            raise _refused(f"{name}: '{text.strip()}' has more than one of ~, * and _", "Name other axes by letters.")
    for text in others[0].split(","):
        if "_" in term_of(text) and len(term_of(text)) > 1:
            raise _refused(f"{name}: no axis ends in the result '{text.strip()}'", "Name new axes by letters.")
    return term_of(operands[0])


def _symbols(name: str, key: str, given: str | list[object], first: Term) -> Along:
    """The axes of the first operand that go by some symbols of its term."""
    wanted = term_of(given if isinstance(given, str) else " ".join(map(str, given)))
    for symbol in wanted:
        if symbol not in first or symbol == "_":
            raise _refused(f"{name}: '{symbol}' in {key} is no axis of the first term, '{' '.join(first)}'", _HINT)
    if not wanted:
        return nowhere

    def along(op: Operation) -> frozenset[int] | None:
        layout = op.inputs[0]
        pairs = matched(first, numbered([None] * len(layout or ())))
        axes = {axis[0].letter.order for symbol, axis in pairs if {symbol, symbol[0]} & {*wanted}}
        return None if layout is None else frozenset(axes)

    along.__doc__ = f"The axes {' and '.join(wanted)}."
    return along


def _installed() -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """The rows that installed packages bring, package by package.

    Raises:
        UsageError: ``operator-row`` for an entry point that fails.
    """
    for point in installed(_places()):
        source = f"the package '{point.dist.name if point.dist is not None else point.module}' states"
        try:
            found: Any = point.load()
            found = found() if callable(found) else found
            rows: list[Mapping[str, Any]] = [found] if isinstance(found, dict) else [*found]
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # code of others may raise anything, an exit included
            what = f"the entry point '{point.name}' of {GROUP} failed: {quoted(error)}"
            raise _refused(what, "Import it by itself first, or uninstall the package.") from error
        yield source, rows


Places = tuple[tuple[str, int], ...]
"""The folders that modules are imported from, each with the time of its last change."""


@functools.lru_cache(maxsize=1)
def installed(places: Places) -> tuple[metadata.EntryPoint, ...]:
    """The entry points of installed packages that bring rows, looked up again once a folder has changed.

    Args:
        places: Where packages are looked for.
    """
    del places
    return tuple(sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name))


def _places() -> Places:
    found = (Path(path) for path in sys.path)
    return tuple((str(path), path.stat().st_mtime_ns) for path in found if path.exists())


def _name(row: AxisRule) -> str:
    return f"'{row.domain}.{row.op}'" if row.domain else f"'{row.op}'"


def _refused(what: str, hint: str) -> UsageError:
    return UsageError(what, slug="operator-row", hint=hint)
