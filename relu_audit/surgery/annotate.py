"""The audited model with what was found written on its nodes, where viewers of models show it.

The file is copied field by field (``model/wire.py``), and only the nodes in question get more ``metadata_props``: no
parser comes between, nothing is inlined or reordered, and weights in other files stay where they are.

A node is known by its path in the file: the name of its first output, behind the names of the nodes and attributes in
whose bodies it sits, behind the function it is in. The audit knows values by their names once functions are inlined; so
every node is marked with its path before that is done again, and the maker of such a value still bears its mark.

Sources: field numbers of onnx.proto.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from relu_audit.errors import UsageError
from relu_audit.model.checkpoint import ModelSource, open_checkpoint
from relu_audit.model.scopes import bodies, walk
from relu_audit.model.specialized import own_overload
from relu_audit.model.wire import MODEL_GRAPH, Field, fields, heading, nested
from relu_audit.network.normalize import normalize
from relu_audit.records import STATUSES, Audit, SiteAudit

PREFIX = "relu_audit."
"""Of the keys that are written; on nodes, those of an earlier annotation are replaced."""

MODEL_FUNCTIONS = 25
GRAPH_NODE = 1
FUNCTION_NAME, FUNCTION_NODE, FUNCTION_DOMAIN, FUNCTION_OVERLOAD = 1, 7, 10, 13
NODE_OUTPUT, NODE_ATTRIBUTE, NODE_METADATA = 2, 5, 9
ATTRIBUTE_NAME, ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS = 1, 6, 11
ENTRY_KEY, ENTRY_VALUE = 1, 2

MOST_BYTES = (1 << 31) - 1
"""A protobuf ends here."""

_MARK = "relu_audit.at"

Path = tuple[str, ...]
Chunks = list[bytes | memoryview]


@dataclass(frozen=True)
class Annotated:
    """The annotated model, and the layers that no node of the file stands for."""

    data: bytes
    missing: tuple[SiteAudit, ...]


def annotate(model: ModelSource, audit: Audit) -> Annotated:
    """Write on every audited rectifier what was found of it.

    Args:
        model: The very model that was audited.
        audit: Its audit.

    Raises:
        UsageError: ``audit-mismatch`` for another model; ``output`` if the result would be too large for its format.
        ModelError: As :func:`relu_audit.audit`.
    """
    checkpoint = open_checkpoint(model)
    checkpoint.check_audited(audit.model)
    _mark(checkpoint.model)
    paths = _paths(normalize(checkpoint).model, audit.sites)
    sites: dict[Path, list[SiteAudit]] = {}
    for site, found in zip(audit.sites, paths, strict=True):
        for path in found:
            sites.setdefault(path, []).append(site)
    writer = _Writer(checkpoint.data, {path: tuple(_properties(of)) for path, of in sites.items()})
    chunks = writer.model()
    if sum(map(len, chunks)) > MOST_BYTES:
        raise UsageError(
            "the annotated model would be larger than the two gibibytes that the format allows",
            slug="output",
            hint="Keep its weights in a file of their own: onnx.save(model, path, save_as_external_data=True).",
        )
    missing = (site for site, found in zip(audit.sites, paths, strict=True) if not found & writer.written)
    return Annotated(b"".join(chunks), tuple(missing))


def _properties(sites: Sequence[SiteAudit]) -> Iterator[tuple[str, str]]:
    """What is written on a node. A function that is called with several weights has several layers in one node."""
    for site in sites:
        about = f"[{site.scope}]" if len(sites) > 1 else ""
        counts = {name: site.active if name == "active" else len(getattr(site, name)) for name in STATUSES}
        told: dict[str, object] = {
            "samples": site.samples,
            "units": site.units,
            **counts,
            "dead_fraction": site.dead_fraction,
            "dead_indices": list(site.dead),
        }
        for name, value in sorted(told.items()):
            yield f"{PREFIX}{name}{about}", json.dumps(value)


def _mark(model: ir.Model) -> None:
    """Leave its path on every node."""

    def mark(nodes: ir.Graph | ir.Function, before: Path) -> None:
        for node in nodes:
            path = (*before, next((value.name for value in node.outputs if value.name), ""))
            node.metadata_props[_MARK] = json.dumps(path)
            for name, body in bodies(node):
                mark(body, (*path, name))

    mark(model.graph, ())
    for function in model.functions.values():
        mark(function, _function_path(function.domain, function.name, own_overload(function)))


def _function_path(domain: str, name: str, overload: str) -> Path:
    return ("", "" if domain == "ai.onnx" else domain, name, overload)


def _paths(graph: ir.Model, sites: Sequence[SiteAudit]) -> list[set[Path]]:
    """The nodes in the file that each site stands for."""
    makers: dict[str, list[tuple[str, Path]]] = {}
    for step in walk(graph.graph):
        mark = step.node.metadata_props.get(_MARK)
        for value in step.node.outputs if mark is not None else ():
            makers.setdefault(value.name or "", []).append((step.scope, tuple(json.loads(mark or "[]"))))
    found: list[set[Path]] = []
    for site in sites:
        paths: set[Path] = set()
        for tensor in site.tensors:
            made = makers.get(tensor, [])
            # Branches may use one name each; then the scope tells, which is known of the first place.
            same = made if len(made) == 1 else [one for one in made if one[0] == site.scope]
            paths |= {path for _, path in same} if len(same) == 1 else set()
        found.append(paths)
    return found


class _Writer:
    """Copies a serialized model; ``written`` are the paths of the nodes that were met and annotated."""

    def __init__(self, data: memoryview, properties: Mapping[Path, Sequence[tuple[str, str]]]) -> None:
        self.written: set[Path] = set()
        self._data = data
        self._properties = properties

    def model(self) -> Chunks:
        """The whole file."""
        out: Chunks = []
        for field in fields(self._data, 0, len(self._data)):
            if field.number == MODEL_GRAPH:
                out += self._within(MODEL_GRAPH, self._graph(field.value, field.end, GRAPH_NODE, ()))
            elif field.number == MODEL_FUNCTIONS:
                known = {one.number: self._text(one.value, one.end) for one in self._texts(field.value, field.end)}
                path = _function_path(
                    *(known.get(number, "") for number in (FUNCTION_DOMAIN, FUNCTION_NAME, FUNCTION_OVERLOAD))
                )
                out += self._within(MODEL_FUNCTIONS, self._graph(field.value, field.end, FUNCTION_NODE, path))
            else:
                out.append(self._data[field.start : field.end])
        return out

    def _texts(self, start: int, end: int) -> Iterator[Field]:
        wanted = (FUNCTION_NAME, FUNCTION_DOMAIN, FUNCTION_OVERLOAD)
        return (field for field in fields(self._data, start, end) if field.number in wanted)

    def _graph(self, start: int, end: int, nodes: int, before: Path) -> Chunks:
        """A graph or a function: all of it, its nodes annotated."""
        out: Chunks = []
        for field in fields(self._data, start, end):
            if field.number == nodes:
                out += self._within(nodes, self._node(field.value, field.end, before))
            else:
                out.append(self._data[field.start : field.end])
        return out

    def _node(self, start: int, end: int, before: Path) -> Chunks:
        own = list(fields(self._data, start, end))
        outputs = (self._text(field.value, field.end) for field in own if field.number == NODE_OUTPUT)
        path = (*before, next(filter(None, outputs), ""))
        out: Chunks = []
        for field in own:
            if field.number == NODE_ATTRIBUTE:
                out += self._within(NODE_ATTRIBUTE, self._attribute(field.value, field.end, path))
            elif field.number != NODE_METADATA or not self._key(field.value, field.end).startswith(PREFIX):
                out.append(self._data[field.start : field.end])
        if path in self._properties:
            self.written.add(path)
        for key, value in self._properties.get(path, ()):
            entry = nested(ENTRY_KEY, key.encode()) + nested(ENTRY_VALUE, value.encode())
            out.append(nested(NODE_METADATA, entry))
        return out

    def _attribute(self, start: int, end: int, path: Path) -> Chunks:
        own = list(fields(self._data, start, end))
        name = next((self._text(field.value, field.end) for field in own if field.number == ATTRIBUTE_NAME), "")
        out: Chunks = []
        several = 0
        for field in own:
            if field.number in (ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS):
                body = name if field.number == ATTRIBUTE_GRAPH else f"{name}_{several}"
                several += field.number == ATTRIBUTE_GRAPHS
                out += self._within(field.number, self._graph(field.value, field.end, GRAPH_NODE, (*path, body)))
            else:
                out.append(self._data[field.start : field.end])
        return out

    def _within(self, number: int, chunks: Chunks) -> Chunks:
        return [heading(number, sum(map(len, chunks))), *chunks]

    def _key(self, start: int, end: int) -> str:
        entry = fields(self._data, start, end)
        return next((self._text(field.value, field.end) for field in entry if field.number == ENTRY_KEY), "")

    def _text(self, start: int, end: int) -> str:
        return bytes(self._data[start:end]).decode("utf-8", "replace")
