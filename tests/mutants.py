"""Mutation testing: change one thing in the source, run the tests that answer for it, list what no test noticed.

    python tests/mutants.py                  all areas, the score, and every survivor
    python tests/mutants.py --area tally     one area
    python tests/mutants.py --write          also write tests/mutants.md

The areas say which tests answer for which modules. Which changes are tried is drawn by a hash of their text, so that a
change elsewhere in a file does not draw others. Survivors that cannot be noticed, since they change nothing that a run
can show, are explained in ``tests/mutants.toml``; any other survivor makes the command fail.
"""

from __future__ import annotations

import argparse
import ast
import functools
import hashlib
import importlib
import math
import os
import platform
import resource
import signal
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SCORE = ROOT / "tests/mutants.md"
EXPLAINED = ROOT / "tests/mutants.toml"

LEAST = 0.95
"""The share of mutants that the tests must notice."""


@dataclass(frozen=True)
class Area:
    """Modules, and the tests that answer for them, in the order in which they run.

    Attributes:
        name: What the area is called.
        modules: Below ``relu_audit``.
        tests: Below ``tests``.
        most: Mutants that are drawn, at most.
    """

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    most: int


AREAS = (
    Area("tally", ("observe.tally",), ("tally",), 40),
    Area("probe", ("observe.probe",), ("probe", "numerics"), 30),
    Area("verdict", ("judge.verdict", "judge.evidence", "judge.depth"), ("verdict", "json", "gate"), 30),
    Area(
        "gate",
        ("judge.gate", "judge.rules", "judge.policy", "judge.patterns", "judge.baseline"),
        ("policy", "gate", "waivers", "baseline", "gate_reports"),
        40,
    ),
    Area("comparison", ("judge.comparison", "judge.matching"), ("compare", "matching", "baseline"), 40),
    Area(
        "axes",
        ("operators.axes", "operators.axes_contrib", "operators.along", "operators.letters"),
        ("axes_alone", "axes", "axes_contrib", "axes_more", "axes_variants", "axes_attention", "independence"),
        40,
    ),
    Area(
        "origins",
        ("operators.origins", "units.independence", "units.lengths"),
        ("origins", "independence", "axes_alone"),
        40,
    ),
    Area(
        "values",
        ("values.signs", "activations.nonzero", "values.uniform", "values.spans", "values.bounds"),
        ("value_rows",),
        40,
    ),
    Area(
        "structure",
        ("surgery.operators.laws", "values.condensed", "values.products", "values.bearing"),
        ("bearing", "structure_rows", "causes", "causes_graphs", "prune_patterns"),
        40,
    ),
)


# Mutants ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        module: The module.
        place: The function or table in which the change is.
        before: The part that is changed, as code.
        after: The part as changed.
        number: Which of the changes of the module it is.
    """

    module: str
    place: str
    before: str
    after: str
    number: int

    @property
    def key(self) -> str:
        """The change, whatever line it is on."""
        return f"{self.module} {self.place}: {self.before} -> {self.after}"


@dataclass(frozen=True)
class Made:
    """A change that was made in a tree: the part before and after, as code, and how to take the change back."""

    before: str
    after: str
    undo: Callable[[], None]


Change = Callable[[], Made]

_OPERATORS: tuple[tuple[type[ast.AST], type[ast.AST]], ...] = (
    (ast.Lt, ast.LtE),
    (ast.LtE, ast.Lt),
    (ast.Gt, ast.GtE),
    (ast.GtE, ast.Gt),
    (ast.Eq, ast.NotEq),
    (ast.NotEq, ast.Eq),
    (ast.In, ast.NotIn),
    (ast.NotIn, ast.In),
    (ast.Is, ast.IsNot),
    (ast.IsNot, ast.Is),
    (ast.And, ast.Or),
    (ast.Or, ast.And),
    (ast.Add, ast.Sub),
    (ast.Sub, ast.Add),
    (ast.Mult, ast.Add),
    (ast.FloorDiv, ast.Mult),
    (ast.Div, ast.Mult),
    (ast.BitOr, ast.BitAnd),
    (ast.BitAnd, ast.BitOr),
    (ast.LShift, ast.RShift),
)
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "fmin": "fmax", "fmax": "fmin", "sum": "max"}
_NAMES |= {"minimum": "maximum", "maximum": "minimum", "floor": "ceil", "ceil": "floor"}
_UNTOUCHED = (ast.Raise, ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom)


def changes(tree: ast.Module) -> Iterator[tuple[str, Change]]:
    """Every change of a module, with the name of the function or table that it is in."""
    for statement in tree.body:
        match statement:
            case ast.FunctionDef() | ast.ClassDef():
                yield from _inside(statement, statement.name)
            case ast.Assign(targets=[ast.Name(name)]) | ast.AnnAssign(target=ast.Name(name)):
                if statement.value is not None:
                    yield from _of_table(statement.value, name)
                    yield from _inside(statement.value, name)
            case _:
                pass


def _inside(node: ast.AST, place: str) -> Iterator[tuple[str, Change]]:
    """The changes of what computes: operators, numbers, names of functions."""
    for found in _of_node(node):
        yield place, found
    for name, child in _children(node):
        if not isinstance(child, _UNTOUCHED) and name not in ("annotation", "returns", "decorator_list"):
            inner = f"{place}.{child.name}" if isinstance(child, ast.FunctionDef | ast.ClassDef) else place
            yield from _inside(child, inner)


def _children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for name, value in ast.iter_fields(node):
        if isinstance(value, ast.AST):
            yield name, value
        elif isinstance(value, list):
            yield from ((name, one) for one in value if isinstance(one, ast.AST))


def _of_node(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare():
            for index, op in enumerate(node.ops):
                yield from (_set_item(node, node.ops, index, new()) for old, new in _OPERATORS if isinstance(op, old))
        case ast.BoolOp() | ast.BinOp():
            yield from (_set(node, "op", new()) for old, new in _OPERATORS if isinstance(node.op, old))
        case ast.UnaryOp(op=ast.USub()):
            yield _set(node, "op", ast.UAdd())
        case ast.UnaryOp(op=ast.Not()):
            yield _set(node, "operand", ast.UnaryOp(ast.Not(), node.operand))
        case ast.Constant(value=bool(value)):
            yield _set(node, "value", not value)
        case ast.Constant(value=int(value)):
            yield _set(node, "value", value + 1)
        case ast.Constant(value=float(value)):
            yield _set(node, "value", value * 1.5 if value else 0.5)
        case ast.Constant(value=str(value)) if "->" in value:  # a signature: one symbol less in what comes out
            yield _set(node, "value", value.rstrip()[:-1])
        case ast.Name(id=name) if name in _NAMES:
            yield _set(node, "id", _NAMES[name])
        case ast.Attribute(attr=name) if name in _NAMES:
            yield _set(node, "attr", _NAMES[name])
        case _:
            pass


def _of_table(node: ast.expr, place: str) -> Iterator[tuple[str, Change]]:
    """The changes of a table: a row less, two rows exchanged, a column less."""
    for part in ast.walk(node):
        match part:
            case ast.Dict(keys=keys, values=values):
                for index in range(len(keys)):
                    yield place, _without((keys, values), index)
                for index in range(len(values) - 1):
                    if keys[index] is not None and keys[index + 1] is not None:
                        yield place, _exchanged(part, index)
            case ast.Tuple(elts=rows) | ast.List(elts=rows) | ast.Set(elts=rows) if len(rows) > 2:
                for index in range(len(rows)):
                    yield place, _without((rows,), index)
            case ast.Call(keywords=columns):
                for index in range(len(columns)):
                    yield place, _without((columns,), index)
            case _:
                pass


def _set(node: ast.AST, name: str, value: object) -> Change:
    def change() -> Made:
        before, old = _text(node), getattr(node, name)
        setattr(node, name, value)
        return Made(before, _text(node), lambda: setattr(node, name, old))

    return change


def _set_item(node: ast.AST, items: list[Any], index: int, value: ast.AST) -> Change:
    def change() -> Made:
        before, old = _text(node), items[index]
        items[index] = value
        return Made(before, _text(node), lambda: items.__setitem__(index, old))

    return change


def _without(columns: Sequence[list[Any]], index: int) -> Change:
    def change() -> Made:
        removed = [column.pop(index) for column in columns]

        def undo() -> None:
            for column, item in zip(columns, removed, strict=True):
                column.insert(index, item)

        return Made(_text(next(item for item in removed if item is not None)), "(left out)", undo)

    return change


def _exchanged(node: ast.Dict, index: int) -> Change:
    def change() -> Made:
        values = node.values

        def swap() -> None:
            values[index], values[index + 1] = values[index + 1], values[index]

        def shown() -> str:
            return _text(ast.Dict(node.keys[index : index + 2], values[index : index + 2]))

        before = shown()
        swap()
        return Made(before, shown(), swap)

    return change


def source_of(module: str) -> Path:
    """The file of a module of the package."""
    return ROOT / "relu_audit" / f"{module.replace('.', '/')}.py"


def mutated(module: str, number: int) -> ast.Module:
    """A module with one change."""
    tree = ast.parse(source_of(module).read_text(encoding="utf-8"))
    [*changes(tree)][number][1]()
    return ast.fix_missing_locations(tree)


def _text(node: ast.AST) -> str:
    text = " ".join(ast.unparse(ast.fix_missing_locations(node)).split())
    return text if len(text) <= 160 else f"{text[:110]} ... {text[-40:]}"


@functools.cache
def mutants_of(module: str) -> tuple[Mutant, ...]:
    """All changes of a module."""
    found: list[Mutant] = []
    for number, (place, change) in enumerate([*changes(ast.parse(source_of(module).read_text(encoding="utf-8")))]):
        made = change()
        made.undo()
        if made.before == made.after:  # two rows of equal values, exchanged
            continue
        found.append(Mutant(module, place, made.before, made.after, number))
    return tuple(found)


def drawn(area: Area) -> list[Mutant]:
    """The mutants of an area, in an order that their texts decide."""
    found = {mutant.key: mutant for module in area.modules for mutant in mutants_of(module)}
    return [found[key] for key in sorted(found, key=lambda key: hashlib.sha256(key.encode()).digest())][: area.most]


# Runs ---------------------------------------------------------------------------------------------------------------


class _Changed(MetaPathFinder):
    """Imports one module of the package with a change."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = f"relu_audit.{mutant.module}"
        self._tree = mutated(mutant.module, mutant.number)

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        """The changed module, and no other."""
        del target
        if fullname != self._name:
            return None
        spec = PathFinder.find_spec(fullname, path)
        assert spec is not None
        spec.loader = _loader(self._tree, fullname, str(spec.origin))
        return spec


def _loader(tree: ast.Module, name: str, path: str) -> Loader:
    class Changed(SourceFileLoader):
        def get_code(self, fullname: str) -> object:  # type: ignore[override]
            del fullname
            return compile(tree, path, "exec")

    return Changed(name, path)


@dataclass(frozen=True)
class Limits:
    """How long a run of tests may take, in seconds. A busy machine stretches the wall clock, not processor time."""

    processor: int
    wall: float


def verdict(mutant: Mutant | None, tests: Sequence[str], limits: Limits) -> tuple[bool, float]:
    """Whether tests fail with a change (or without any), in a process of its own; and its processor time.

    A run that uses up its processor time fails: some change made a loop endless.
    """
    start = time.monotonic()
    child = os.fork()
    if not child:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (limits.processor, limits.processor))
        with Path(os.devnull).open("r+") as nothing:
            for number in (0, 1, 2):
                os.dup2(nothing.fileno(), number)
        os._exit(_run(mutant, tests))
    while time.monotonic() - start < limits.wall:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            return status != 0, used.ru_utime + used.ru_stime
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True, limits.processor


def _run(mutant: Mutant | None, tests: Sequence[str]) -> int:
    import pytest

    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT)]
    if mutant is not None:
        sys.meta_path.insert(0, _Changed(mutant))
    plain = ["-x", "-q", "-o", "addopts=", "-p", "no:xdist", "-p", "no:cacheprovider", "-m", "not slow"]
    return int(pytest.main([*plain, "--hypothesis-seed=0", *(f"tests/test_{name}.py" for name in tests)]))


def _warm() -> None:
    """Import what all tests need, but for the package and the runtime, whose threads no fork survives."""
    for name in ("click", "msgspec", "numpy", "onnx", "onnx_ir", "rich"):
        importlib.import_module(name)


@dataclass(frozen=True)
class Result:
    """What became of the mutants of an area."""

    area: Area
    tried: int
    survivors: tuple[Mutant, ...]


def examine(area: Area, jobs: int) -> Result:
    """Try the mutants of an area.

    Raises:
        SystemExit: The tests fail without any change.
    """
    failed, seconds = verdict(None, area.tests, Limits(900, 3600))
    if failed:
        raise SystemExit(f"the tests of {area.name} fail without any change: {', '.join(area.tests)}")
    chosen = drawn(area)
    limits = Limits(math.ceil(5 * seconds + 20), 60 * seconds + 300)
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork"), initializer=_warm) as pool:
        noticed = [one.result()[0] for one in [pool.submit(verdict, m, area.tests, limits) for m in chosen]]
    survivors = tuple(mutant for mutant, was in zip(chosen, noticed, strict=True) if not was)
    return Result(area, len(chosen), survivors)


# Words --------------------------------------------------------------------------------------------------------------


def explanations() -> dict[str, str]:
    """Why survivors change nothing that a run can show, by their keys."""
    rows = tomllib.loads(EXPLAINED.read_text(encoding="utf-8")).get("survivor", []) if EXPLAINED.exists() else []
    return {row["change"]: row["why"] for row in rows}


def table(results: Sequence[Result], before: str = "") -> str:
    """The score, as Markdown.

    Args:
        results: What was tried now.
        before: The score as it was: rows of areas that were not tried now stay.
    """
    known = explanations()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in before.splitlines() if line.startswith("| ")]
    rows = {row[0]: row for row in cells if row[0] in {area.name for area in AREAS}}
    for one in results:
        explained = sum(mutant.key in known for mutant in one.survivors)
        modules = ", ".join(f"`{module}`" for module in one.area.modules)
        counts = one.tried, one.tried - len(one.survivors), explained, len(one.survivors) - explained
        rows[one.area.name] = [one.area.name, modules, *map(str, counts)]
    tried, noticed = (sum(int(row[column]) for row in rows.values()) for column in (2, 3))
    return "\n".join(
        [
            "# Mutants",
            "",
            "Written by `python tests/mutants.py --write`. A mutant is one change in the source. A mutant is",
            "noticed if a test of its area fails. `mutants.toml` explains the mutants that change nothing that a run",
            "can show.",
            "",
            "| area | modules | mutants | noticed | explained | others |",
            "| --- | --- | --- | --- | --- | --- |",
            *(f"| {' | '.join(rows[area.name])} |" for area in AREAS if area.name in rows),
            "",
            f"Noticed: {noticed} of {tried}, {noticed / max(tried, 1):.1%}. Python {platform.python_version()}.",
            "",
        ]
    )


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--area", action="append", choices=[area.name for area in AREAS])
    parser.add_argument("--most", type=int, help="mutants per area, at most")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help=f"write {SCORE.relative_to(ROOT)}")
    given = parser.parse_args()
    known, results, bad = explanations(), [], 0
    for area in AREAS:
        if given.area and area.name not in given.area:
            continue
        cut = area if given.most is None else Area(area.name, area.modules, area.tests, min(given.most, area.most))
        result = examine(cut, given.jobs)
        results.append(result)
        print(f"{area.name}: {result.tried - len(result.survivors)} of {result.tried} noticed", flush=True)
        if given.write:
            before = SCORE.read_text(encoding="utf-8") if SCORE.exists() else ""
            SCORE.write_text(table(results, before), encoding="utf-8")
        for mutant in result.survivors:
            bad += mutant.key not in known
            print(f"  survived: {mutant.key}  [{known.get(mutant.key, 'not explained')}]", flush=True)
    tried = sum(one.tried for one in results)
    noticed = tried - sum(len(one.survivors) for one in results)
    print(f"{noticed} of {tried} noticed, {bad} survivors without an explanation")
    return int(bad > 0 or noticed < LEAST * tried)


if __name__ == "__main__":
    sys.exit(main())
