"""Which entries are constant by structure, and their values.

An entry is constant if everything it is made of is: a silent unit by the premise, and from there forward. That it *is*
constant follows from the graph alone; *what* it is, and whether it is the same at every position, is read off a real
run of the held model, so that it is what the model computes. Two equal samples never make a constant.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from relu_audit.model.scopes import bodies, walk
from relu_audit.operators.bodies import BRANCHES
from relu_audit.surgery.facts.facts import Facts, Mix
from relu_audit.surgery.operators.atoms import Bools, Ints
from relu_audit.surgery.operators.laws import Law
from relu_audit.surgery.operators.patches import Route
from relu_audit.surgery.operators.signature import Place, Signature
from relu_audit.surgery.runs.hold import Silent
from relu_audit.surgery.runs.survey import Survey

SPREAD = 2.0**-20
"""Positions of one constant may differ by this share of it: kernels round differently at the ends of a row."""


@dataclass(frozen=True)
class Constants:
    """What is constant.

    Attributes:
        known: Which atoms are constant, and one number at all positions.
        number: That number; NaN for all others.
        whole: Values no element of which depends on the input.
        uneven: Which atoms are constant, but not one number, as where a padding puts another one at the border.
            Constants made of these are still constant, and often one number again.
    """

    known: Bools
    number: np.ndarray
    whole: frozenset[ir.Value]
    uneven: Bools


def find_constants(survey: Survey, facts: Facts, silent: Sequence[Silent]) -> Constants:
    """Follow what is silent, and what zero weights make, forward through the graph."""
    return _Finder(survey, facts, silent).find(_Structure(survey, facts, silent).find())


class _Follower(ABC):
    """Goes through the graph once; what entries that are constant by structure range over is for others to say."""

    def __init__(self, survey: Survey, facts: Facts, silent: Sequence[Silent]) -> None:
        self.survey, self.facts, self.atoms = survey, facts, survey.atoms
        self.known = np.zeros(self.atoms.count, bool)
        self.uneven = np.zeros(self.atoms.count, bool)
        self.number = np.full(self.atoms.count, np.nan)
        self.whole: set[ir.Value] = set()
        self.seeds = {one.value: one for one in silent}
        self.mixes: dict[ir.Node, list[Mix]] = {}
        for mix in facts.mixes:
            self.mixes.setdefault(mix.node, []).append(mix)

    def _follow(self) -> None:
        nodes = [step.node for step in walk(self.survey.network.model.graph)]
        for value in (value for one in self.survey.network.model.graphs() for value in one.initializers.values()):
            if self.survey.constant(value) is not None:
                self._is_whole(value)
        reached = self._reached(nodes)
        for node in nodes:
            law = self.survey.law(node)
            if all(self.survey.constant(value) is not None for value in node.outputs):
                for value in node.outputs:
                    self._is_whole(value)
            elif bodies(node):
                self._out_of_branches(node)
            elif law is not None and any(value in reached for value in node.outputs):
                self._node(node, law)

    def _is_whole(self, value: ir.Value) -> None:
        self.whole.add(value)
        for axis, atoms in self.atoms.of(value):
            self.known[atoms] = True
            level = self.survey.level(value, axis)
            if level is not None:
                self.number[atoms] = level

    def _reached(self, nodes: Iterable[ir.Node]) -> set[ir.Value]:
        """Values that may hold a constant."""
        found = set(self.seeds)
        for node in nodes:
            empty = any(not mix.pattern.any(axis=2).all() for mix in self.mixes.get(node, ()))
            if (
                empty
                or self._has_zeros(node)
                or self._spreads_constants(node)
                or any(value in found for value in node.inputs if value is not None)
            ):
                found.update(node.outputs)
            for _, body in bodies(node):
                if any(value in found for value in body.outputs):
                    found.update(node.outputs)
        return found

    def _has_zeros(self, node: ir.Node) -> bool:
        """Whether an operator that absorbs is given a slice of zeros by the file."""
        absorbing = self.survey.absorbing(node)
        constants = [v for i, v in enumerate(node.inputs) if i in absorbing and v is not None and v in self.whole]
        return any((self.number[atoms] == 0).any() for value in constants for _, atoms in self.atoms.of(value))

    def _spreads_constants(self, node: ir.Node) -> bool:
        """Whether all that an operator moves is in the file, and only sizes are not."""
        law = self.survey.law(node)
        data = [v for i, v in enumerate(node.inputs) if v is not None and law is not None and i in law.data]
        return law is not None and law.moves and all(value in self.whole for value in data)

    def _node(self, node: ir.Node, law: Law) -> None:
        for output, value in enumerate(node.outputs):
            for axis, atoms in self.atoms.of(value):
                if law.moves:
                    made = self._moved(node, law, output, axis, len(atoms))
                else:
                    made = self._combined(node, law, output, axis, len(atoms))
                self._set(value, atoms, made)
            seed = self.seeds.get(value)
            if seed is not None:
                atoms = self.atoms.along(value, seed.axis)
                if atoms is not None:
                    at = atoms[seed.indices]
                    self.known[at], self.number[at] = True, seed.numbers[seed.indices]
                elif len(seed.indices) == len(seed.units):
                    self.whole.add(value)  # its only unit
            if any(self._constant(atoms).all() for _, atoms in self.atoms.of(value)):
                self.whole.add(value)
        inputs = [value for value in node.inputs if value is not None]
        if inputs and all(value in self.whole for value in inputs):
            self.whole.update(node.outputs)

    def _constant(self, atoms: Ints) -> Bools:
        """Which follow from the graph alone, be they one number or not."""
        return self.known[atoms] | self.uneven[atoms]

    def _set(self, value: ir.Value, atoms: Ints, made: tuple[Bools, np.ndarray] | None) -> None:
        """Note what is constant by structure, where a run gives it one value at all positions."""
        if made is None:
            return
        constant, number = made
        if value.graph is self.survey.network.model.graph:
            low, high = self._span(value, atoms, constant)
            even = high - low <= SPREAD * np.maximum(np.abs(low), np.abs(high))
            self.uneven[atoms] = constant & ~even
            constant, number = constant & even, low
        else:
            constant = constant & ~np.isnan(number)
        self.known[atoms] = constant
        self.number[atoms] = np.where(constant, number, np.nan)

    @abstractmethod
    def _span(self, value: ir.Value, atoms: Ints, constant: Bools) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest number of entries, of which the given ones are constant by structure."""

    def _combined(self, node: ir.Node, law: Law, output: int, axis: int, size: int) -> tuple[Bools, np.ndarray] | None:
        """Constant where every operand is, or where one is zero and the operator absorbs."""
        read = self.facts.signatures.get(node)
        place = None
        if read is not None:
            place = next((p for p in read.places if p.output == output and p.axis == axis), None)
        if read is None or place is None or any(letter[0] == "~" for letter in place.letters):
            return None
        # An entry that is made of its neighbours as well is none; if it is zero, it may stay so.
        alone = node.inputs[0] in self.whole or not self._joins(node, law, read, place)
        constant, zero = np.full(size, alone), np.zeros(size, bool)
        absorbing = self.survey.absorbing(node)
        for index, value in enumerate(node.inputs):
            if value is None:
                continue
            same = next((p for p in read.places if p.operand == index and p.letters == place.letters), None)
            atoms = None if same is None else self.atoms.along(value, same.axis)
            if atoms is not None and len(atoms) == size:
                constant &= self._constant(atoms)
                if index in absorbing:
                    zero |= self.known[atoms] & self._zero(self.number[atoms], self.survey.zero(node, index))
            elif value not in self.whole and value not in self.survey.measured:
                constant &= self._summed(node, index, output, axis, size)
        number = np.full(size, np.nan)
        if not law.zero_points:  # codes are read off, as all numbers of the main graph are
            number[zero] = 0.0
        if law.picks:
            alike = self._agreed([self._numbers(read, index, place, size) for index in law.picks])
            constant |= ~np.isnan(alike)
            number = np.where(np.isnan(alike), number, alike)
        return constant | zero, number

    def _numbers(self, read: Signature, operand: int, place: Place, size: int) -> np.ndarray:
        """The constants that an operand brings to the entries of a result; NaN where it brings none."""
        value = read.node.inputs[operand]
        same = next((p for p in read.places if p.operand == operand and p.letters == place.letters), None)
        atoms = None if same is None or value is None else self.atoms.along(value, same.axis)
        if atoms is not None and len(atoms) == size:
            return self.number[atoms]
        given = self.survey.constant(value)
        return np.full(size, float(given.ravel()[0]) if given is not None and given.size == 1 else np.nan)

    def _joins(self, node: ir.Node, law: Law, read: Signature, place: Place) -> bool:
        """Whether the operator computes entries along an axis of its result from one another."""
        shape = None if node.inputs[0] is None else self.atoms.shape(node.inputs[0])
        rules = [rule for rule in (law.joins, law.zeros) if rule is not None]
        if shape is None:
            return bool(rules)
        axes = set[int]().union(*(rule(self.survey.operation(node), len(shape)) for rule in rules))
        return any(p.operand == 0 and p.axis in axes and set(p.letters) & set(place.letters) for p in read.places)

    def _summed(self, node: ir.Node, operand: int, output: int, axis: int, size: int) -> Bools:
        """Results whose every term with a factor other than zero is constant."""
        results = self.atoms.along(node.outputs[output], axis)
        for mix in self.mixes.get(node, ()):
            if mix.operand == operand and results is not None and np.array_equal(mix.results.ravel(), results):
                return ~(mix.pattern & ~self._constant(mix.terms)[:, None, :]).any(axis=2).ravel()
        return np.zeros(size, bool)

    def _moved(self, node: ir.Node, law: Law, output: int, axis: int, size: int) -> tuple[Bools, np.ndarray] | None:
        """Constant where all that goes there is."""
        shuffle = self.facts.shuffles.get(node)
        moved = self.facts.moved.get(node) if shuffle is None else shuffle.moved
        if moved is None:
            return None
        here = [r for r in moved.routes if r.output == output and r.output_axis == axis]
        constant, number = np.ones(size, bool), np.full(size, np.nan)
        sources = enumerate(node.inputs) if shuffle is None else [(0, shuffle.source)]
        many = len(law.data) > 1
        for operand, value in sources:
            own = [r for r in here if r.operand == operand]
            if value is None or value in self.whole or operand not in law.data:
                continue
            if not own and not many:
                return None
            if not own:  # it lies side by side with the others: what they do not make may be its own
                constant[moved.unmade(output, axis, size)] = False
            filled, reached = np.zeros(size, bool), np.zeros(size, bool)
            for route in own:
                covered, number = self._carried(value, route, size, number)
                filled |= covered
                reached[route.target] = True
            constant &= filled | ~reached
        return constant, number

    def _carried(self, value: ir.Value, route: Route, size: int, number: np.ndarray) -> tuple[Bools, np.ndarray]:
        atoms = self.atoms.along(value, route.axis)
        if atoms is None:
            return np.zeros(size, bool), number
        covered = np.zeros(size, bool)
        covered[route.target] = True
        live = ~self._constant(atoms[route.source])
        covered[route.target[live]] = False
        number = number.copy()
        number[route.target] = np.where(covered[route.target], self.number[atoms[route.source]], number[route.target])
        return covered, number

    def _out_of_branches(self, node: ir.Node) -> None:
        """What is the same constant in all branches."""
        row = self.survey.row(node)
        if row is None or row.body is not BRANCHES:
            return
        for index, value in enumerate(node.outputs):
            for axis, atoms in self.atoms.of(value):
                sides = [self.atoms.along(body.outputs[index], axis) for _, body in bodies(node)]
                if any(side is None or len(side) != len(atoms) for side in sides):
                    continue
                number = self._agreed([self.number[side] for side in sides])
                self.known[atoms] = ~np.isnan(number)
                self.number[atoms] = number

    @abstractmethod
    def _agreed(self, sides: Sequence[np.ndarray]) -> np.ndarray:
        """The number that all have; NaN where they do not have one."""

    @abstractmethod
    def _zero(self, numbers: np.ndarray, zero: float) -> Bools:
        """Which numbers of an operand are zero, which its codes write as the given number."""


class _Finder(_Follower):
    """What is constant, once it is known what may be."""

    def __init__(self, survey: Survey, facts: Facts, silent: Sequence[Silent]) -> None:
        super().__init__(survey, facts, silent)
        self.low, self.high = np.full(self.atoms.count, np.nan), np.full(self.atoms.count, np.nan)

    def find(self, structural: Iterable[ir.Value]) -> Constants:
        """What is constant of values that may be, of which the numbers are read."""
        self._read_off(structural)
        self._follow()
        return Constants(self.known, self.number, frozenset(self.whole), self.uneven)

    def _read_off(self, structural: Iterable[ir.Value]) -> None:
        graph = self.survey.network.model.graph
        wanted = {
            value.name: value
            for value in structural
            if value.name and value.graph is graph and value in self.survey.shapes and any(self.atoms.of(value))
        }
        probe_runs = self.survey.probe_runs
        unread = {name: value for name, value in wanted.items() if name not in probe_runs.ranges}
        size = {name: 4 * int(np.prod(self.survey.shapes[value])) for name, value in unread.items()}
        # A constant is one at every size: 1 / height is none, nor is what a padding of this height leaves alone.
        for feeds in probe_runs.runs:
            for name, array in probe_runs.numbers(size, feeds):
                lengths = {axis: len(atoms) for axis, atoms in self.atoms.of(unread[name])}
                probe_runs.ranges.widen(name, lengths, array)
        probe_runs.close()
        for name, value in wanted.items():
            for axis, (low, high) in probe_runs.ranges.of(name).items():
                atoms = self.atoms.along(value, axis)
                if atoms is not None:
                    self.low[atoms], self.high[atoms] = low, high

    def _span(self, value: ir.Value, atoms: Ints, constant: Bools) -> tuple[np.ndarray, np.ndarray]:
        del value, constant
        return self.low[atoms], self.high[atoms]

    def _agreed(self, sides: Sequence[np.ndarray]) -> np.ndarray:
        return np.where(np.all([side == sides[0] for side in sides], axis=0), sides[0], np.nan)

    def _zero(self, numbers: np.ndarray, zero: float) -> Bools:
        return numbers == zero


class _Structure(_Follower):
    """What may be constant by structure alone, before anything is read: all of it is taken for zeros, which go far."""

    def __init__(self, survey: Survey, facts: Facts, silent: Sequence[Silent]) -> None:
        super().__init__(survey, facts, silent)
        self.found: set[ir.Value] = set()

    def find(self) -> set[ir.Value]:
        """Values any of whose entries may be constant, for what they are made of."""
        self._follow()
        return self.found

    def _span(self, value: ir.Value, atoms: Ints, constant: Bools) -> tuple[np.ndarray, np.ndarray]:
        if constant.any():
            self.found.add(value)
        return np.zeros(len(atoms)), np.zeros(len(atoms))

    def _agreed(self, sides: Sequence[np.ndarray]) -> np.ndarray:
        return np.where(np.any([np.isnan(side) for side in sides], axis=0), np.nan, 0.0)

    def _zero(self, numbers: np.ndarray, zero: float) -> Bools:
        return (numbers == zero) | (numbers == 0)
