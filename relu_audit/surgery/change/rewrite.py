"""Write a solution into the graph: cut tensors, fold constants, mend what names a length, drop what nobody reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from relu_audit.model.editor import Editor
from relu_audit.model.scopes import walk
from relu_audit.model.sweep import sweep
from relu_audit.records.pruning import Cut, Fold
from relu_audit.surgery.choose.reach import reading
from relu_audit.surgery.choose.solve import Solution
from relu_audit.surgery.constants.biases import Addition, Biases
from relu_audit.surgery.constants.fold import Linear, carry
from relu_audit.surgery.facts.facts import ALWAYS, Facts, Serving
from relu_audit.surgery.facts.shuffles import write_shuffle
from relu_audit.surgery.facts.sums import Sum
from relu_audit.surgery.operators.atoms import Bools, Ints
from relu_audit.surgery.operators.patches import Cutting, Restore
from relu_audit.surgery.runs.survey import Survey


@dataclass
class Written:
    """What was done to initializers."""

    cuts: list[Cut] = field(default_factory=list)
    folds: list[Fold] = field(default_factory=list)


def rewrite(survey: Survey, facts: Facts, sums: list[Sum], solution: Solution) -> Written:
    """Change the network's graph.

    Args:
        survey: The graph; it is changed.
        facts: Its facts.
        sums: Its mixes, with their constants.
        solution: What goes.
    """
    writer = _Writer(survey, facts, solution)
    writer.note_folds(sums)
    writer.cut_tensors()
    writer.patch_nodes()
    writer.written.folds += Biases(survey, writer.editor).add(writer.additions)
    clean(survey.network.model, survey.staying)
    return writer.written


def clean(model: ir.Model, staying: Sequence[ir.Value]) -> None:
    """Drop what nobody reads, and shapes that may not hold any more."""
    sweep(model, staying)
    for node in (step.node for step in walk(model.graph)):
        for value in node.outputs:
            if not value.is_graph_output() or node.graph is not model.graph:
                value.shape = None


class _Writer:
    def __init__(self, survey: Survey, facts: Facts, solution: Solution) -> None:
        self.survey, self.facts, self.solution = survey, facts, solution
        self.atoms = survey.atoms
        self.editor = Editor(survey.network.model)
        self.written = Written()
        self.picked = dict(_picked(facts, solution))
        self.additions: list[Addition] = []

    def kept(self, value: ir.Value | None) -> dict[int, Bools]:
        """Which entries stay, along every axis that loses some."""
        found: dict[int, Bools] = {}
        for axis, atoms in () if value is None else self.atoms.of(value):
            gone = self.solution.removed[atoms]
            if gone.any():
                found[axis] = ~gone
        return found

    def note_folds(self, sums: list[Sum]) -> None:
        """Find out, on the weights as they are, what removed constants added to results that stay."""
        removed = self.solution.removed
        for one in sums:
            mix, law = one.mix, self.survey.law(one.mix.node)
            number = one.number
            stays = (mix.results == ALWAYS) | ~removed[mix.results]
            needed = (mix.pattern & stays[:, :, None]).any(axis=1)
            gone = removed[mix.terms] & needed & np.isfinite(number) & (number != 0)
            if law is None or not law.linear or not gone.any():
                continue
            self._carry(one, gone & one.carried)
            linear = Linear.of(self.survey, self.facts, mix)
            level = (gone & ~one.carried) * np.nan_to_num(number)
            response = None if linear is None or not level.any() else linear.respond(level)
            if response is None:
                continue
            level = response.level[stays.ravel()] if stays.size == len(response.level) else response.level
            count = int((gone & ~one.carried).sum())
            self.additions.append(Addition(mix.node, response.axis, level, f"{count} constant{'s' * (count > 1)}"))

    def _carry(self, one: Sum, gone: Bools) -> None:
        mix = one.mix
        new = carry(self.facts, one, gone)
        weight = None if mix.weight is None else mix.node.inputs[mix.weight]
        if new is not None and weight is not None:
            weight.const_value = ir.Tensor(new, name=weight.name)
            count = int(gone.sum())
            note = f"{count} constant{'s' * (count > 1)} carried by one"
            self.written.folds.append(Fold(initializer=weight.name or "", note=note))

    def cut_tensors(self) -> None:
        """Take removed slices out of initializers, and out of the numbers that nodes hold."""
        main = self.survey.network.model.graph
        for graph in self.survey.network.model.graphs():
            for name, value in graph.initializers.items():
                kept, tensor = self.kept(value), value.const_value
                if not kept or tensor is None:
                    continue
                picked = self.picked.get(value)
                value.const_value = _cut(tensor, kept, picked)
                value.shape = ir.Shape(value.const_value.shape.numpy())
                if graph is main:
                    for axis, stays in kept.items():
                        gone = tuple(np.flatnonzero(~stays).tolist())
                        self.written.cuts.append(Cut(initializer=name, axis=axis, indices=gone, size=len(stays)))
                if graph is main and picked is not None:
                    note = f"groups behind the first lose other entries of axis {picked.serving.axis}"
                    self.written.folds.append(Fold(initializer=name, note=note))
        for node in (step.node for step in walk(main)):
            held = node.attributes.get("value")
            if not node.inputs and held is not None and node.outputs and (kept := self.kept(node.outputs[0])):
                cut = _cut(held.as_tensor(), kept, self.picked.get(node.outputs[0]))
                node.attributes["value"] = ir.AttrTensor("value", cut)

    def patch_nodes(self) -> None:
        """Mend group counts, targets, bounds and indices, and what reads the shape of something cut."""
        main = self.survey.network.model.graph
        still_read = reading(self.survey)(self.solution.removed)
        nodes = [step.node for step in walk(main)]
        # Before anything is mended: what an operand is may be put aside for something new, of which nothing is known.
        operands = {node: node.inputs for node in nodes}
        numbers = {node: self._told(node) for node in self.facts.moved}
        for node in nodes:
            law = self.survey.law(node)
            if law is None or not any(value in still_read for value in node.outputs):
                continue
            shuffle = self.facts.shuffles.get(node)
            kept = None if shuffle is None else self.kept(shuffle.source).get(shuffle.axis)
            if shuffle is not None and kept is not None:
                write_shuffle(self.editor, shuffle, kept)
            elif law.measures is not None:
                self._restore(node, operands[node][0], law.measures)
            elif node in self.facts.moved and law.patch is not None:
                moved = self.facts.moved[node]
                cutting = Cutting(
                    node=node,
                    routes=moved.routes,
                    shown={axis: chosen for (i, axis, o), chosen in moved.shown.items() if i == o == 0},
                    kept_in={(i, a): k for i, v in enumerate(operands[node]) for a, k in self.kept(v).items()},
                    kept_out={(o, a): k for o, v in enumerate(node.outputs) for a, k in self.kept(v).items()},
                    sizes=[self.atoms.shape(value) or () for value in node.outputs],
                    numbers=numbers[node],
                    editor=self.editor,
                )
                if cutting.kept_in or cutting.kept_out:
                    law.patch(cutting)
            elif law.groups and node in self.facts.signatures:
                self._count_groups(node, law.groups)

    def _told(self, node: ir.Node) -> list[np.ndarray | None]:
        """The numbers of the operands that say where a node moves data."""
        law = self.survey.law(node)
        data = range(1) if law is None else law.data
        return [None if index in data else self.survey.steady(value) for index, value in enumerate(node.inputs)]

    def _count_groups(self, node: ir.Node, name: str) -> None:
        """As many groups as entries stay, where whole groups go."""
        read = self.facts.signatures[node]
        for place in read.places:
            if (
                len(place.letters) > 1
                and read.grouped()
                and (kept := self.kept(place.value).get(place.axis)) is not None
            ):
                grid = kept.reshape([read.sizes[x] for x in place.letters])
                whole = grid.any(axis=1)
                if not whole.all():
                    node.attributes[name] = ir.AttrInt64(name, int(whole.sum()))

    def _restore(self, node: ir.Node, value: ir.Value | None, restore: Restore) -> None:
        """Let everything that is computed from a value's size see the one there was."""
        lost = {axis: int((~kept).sum()) for axis, kept in self.kept(value).items()}
        shape = None if value is None else self.atoms.shape(value)
        if lost and shape is not None and any(True for _ in node.outputs[0].uses()):
            restore(self.editor, node, shape, lost)


@dataclass(frozen=True)
class _Picked:
    """A constant that serves several groups, and the entries that each of these keeps: [group, entry]."""

    serving: Serving
    entries: Ints

    def of(self, array: np.ndarray) -> np.ndarray:
        """The array with what each group keeps."""
        blocks = zip(np.split(array, len(self.entries), self.serving.by), self.entries, strict=True)
        return np.concatenate([np.take(block, own, self.serving.axis) for block, own in blocks], self.serving.by)


def _picked(facts: Facts, solution: Solution) -> Iterator[tuple[ir.Value, _Picked]]:
    """The constants of which groups keep different entries."""
    for one in facts.groups:
        kept = ~solution.removed[one.entries]
        if not (kept == kept[0]).all():
            entries = np.nonzero(kept)[1].reshape(len(kept), -1)
            yield from ((serving.value, _Picked(serving, entries)) for serving in one.serving)


def _cut(tensor: ir.TensorProtocol, kept: dict[int, Bools], picked: _Picked | None) -> ir.TensorProtocol:
    """The tensor without some slices, cut when it is asked for: weights beside the file are not all read at once."""
    shape = list(tensor.shape.numpy())
    for axis, stays in kept.items():
        shape[axis] = int(stays.sum())

    def numbers() -> ir.TensorProtocol:
        array = tensor.numpy() if picked is None else picked.of(tensor.numpy())
        for axis, stays in kept.items():
            if picked is None or axis != picked.serving.axis:
                array = np.compress(stays, array, axis=axis)
        return ir.Tensor(np.ascontiguousarray(array), dtype=tensor.dtype, name=tensor.name)

    return ir.LazyTensor(numbers, dtype=tensor.dtype, shape=ir.Shape(shape), name=tensor.name)
