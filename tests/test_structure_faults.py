"""Rows of the tables of structure that are wrong in one thing: the cases of the row must find each of them out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import onnx_ir as ir
import pytest

from relu_audit.model import fused, parameters, precision
from relu_audit.network import extents, ranks
from relu_audit.operators import families as operators
from relu_audit.surgery import verify
from relu_audit.surgery.operators import laws, patches
from relu_audit.surgery.operators.laws import ALL, LAWS, Law, everything, fixed
from relu_audit.values import bearing, condensed, products
from tests import bearing_cases, family_cases, law_cases, law_judge, move_cases, number_cases, rank_cases
from tests import structure_cases as structure

Row = Hashable
GONE = object()
"""In place of a row that is removed."""

MS = "com.microsoft"
FOLLOWED = extents._FOLLOWED  # pyright: ignore[reportPrivateUsage]
FUSIONS = fused._ROWS  # pyright: ignore[reportPrivateUsage]
NCHWC = "com.microsoft.nchwc"


@dataclass(frozen=True)
class Table:
    """A table, and what finds its rows out.

    Attributes:
        rows: The rows.
        found: Whether the cases of a row contradict the table as it is.
    """

    rows: Mapping[Any, Any]
    found: Callable[[Any], bool]


TABLES: Mapping[str, Table] = {
    "laws": Table(LAWS, lambda row: any(map(law_judge.against, law_cases.CASES[row]))),
    "earlier laws": Table(laws.EARLIER, lambda row: any(map(law_judge.against, law_cases.EARLIER[row]))),
    "movers": Table(
        condensed.MOVERS,
        lambda row: (
            row not in condensed.MOVERS
            or any(move_cases.contradicts(case, condensed.MOVERS[row]) for case in move_cases.MOVES[row])
        ),
    ),
    "lines": Table(bearing.RULES, lambda row: any(map(bearing_cases.contradicts, bearing_cases.BEARINGS[row]))),
    "sizes": Table(FOLLOWED, lambda row: any(map(structure.misread, structure.SIZES[row]))),
    "products": Table(products.TABLE, lambda row: any(map(structure.miscounted, structure.PRODUCTS[row]))),
    "fused": Table(FUSIONS, lambda row: any(map(structure.taken_apart, structure.FUSED[row]))),
    "activations": Table(fused.ACTIVATIONS, lambda row: any(map(structure.taken_apart, structure.activated(row)))),
    "limits": Table(verify.LIMITS, lambda row: bool(number_cases.misjudged(row.name))),
}


@dataclass(frozen=True)
class Fault:
    """Rows of a table that are other rows, each of which must be found out."""

    table: str
    name: str
    rows: Mapping[Any, Any]

    @property
    def id(self) -> str:
        return f"{self.table}: {self.name}"


def dotted(row: Row) -> str:
    return ".".join(filter(None, cast("tuple[str, ...]", row))) if isinstance(row, tuple) else str(row)


def removed(table: str, *rows: Row) -> Iterator[Fault]:
    for row in rows:
        yield Fault(table, f"{dotted(row)} removed", {row: GONE})


def exchanged(table: str, one: Row, other: Row) -> Fault:
    rows = TABLES[table].rows
    return Fault(table, f"{dotted(one)} and {dotted(other)} exchanged", {one: rows[other], other: rows[one]})


def changed(table: str, row: Row, **columns: object) -> Fault:
    one = TABLES[table].rows[row]
    return Fault(table, f"{dotted(row)} with {', '.join(columns)} of another", {row: replace(one, **columns)})


def off(op: str, *columns: str, domain: str = "") -> Iterator[Fault]:
    """Columns of a law that are as in a law that says nothing."""
    for column in columns:
        plain = {column: getattr(Law(), column)}
        yield Fault("laws", f"{op} without {column}", {(domain, op): replace(LAWS[domain, op], **plain)})


def law(op: str, domain: str = "", **columns: object) -> Fault:
    return changed("laws", (domain, op), **columns)


FAULTS: list[Fault] = [
    *removed("laws", *(("", op) for op in ("TopK", "Einsum", "Tile", "RNN", "GlobalLpPool", "Trilu", "CastLike"))),
    *removed("laws", *((MS, op) for op in ("QLinearLeakyRelu", "QLinearAveragePool"))),
    exchanged("laws", ("", "Shape"), ("", "Size")),
    exchanged("laws", ("", "Slice"), ("", "Pad")),
    exchanged("laws", ("", "ReduceSum"), ("", "ReduceMean")),
    *off("Div", "divisor", "absorbs"),
    *off("MaxPool", "counts", "windows"),
    *off("ReduceMax", "least", "zeros"),
    *off("LpNormalization", "zeros"),
    *off("Gemm", "bias", "bias_spreads", "bias_scale", "scale", "linear"),
    *off("ConvTranspose", "groups", "bias"),
    *off("Conv", "groups", "windows", "private"),
    *off("Slice", "moves", "rewrites", "patch"),
    *off("Pad", "fills", "rewrites"),
    *off("Resize", "resamples"),
    *off("Concat", "data", "drops", "patch"),
    *off("GRU", "only", "private"),
    *off("Where", "picks"),
    *off("Sub", "sums"),
    *off("Hardmax", "joins"),
    *off("DynamicQuantizeLinear", "own_zero"),
    *off("QLinearMul", "zero_points", "absorbs", domain=MS),
    *off("QLinearConcat", "like", domain=MS),
    law("Softmax", joins=fixed(0)),
    law("CumSum", joins=None),
    law("MeanVarianceNormalization", joins=fixed(0)),
    law("ReduceSum", zeros=fixed(0)),
    law("Conv", bias=1),
    law("QLinearConv", zero_points={0: 3, 3: 5}),
    law("QLinearMatMul", zero_points={0: 2, 3: 2}),
    law("MatMulInteger", zero_points={0: 2}),
    law("Concat", data=ALL[1:]),
    law("Concat", drops=fixed(0)),
    law("Split", patch=patches.indices),
    law("DynamicQuantizeLinear", own_zero=1),
    law("Add", absorbs=ALL),
    law("Clip", joins=everything),
    law("MaxPool", counts=(0,)),
    law("QLinearConcat", domain=MS, data=ALL[3::3]),
    *removed("earlier laws", ("", "Softmax")),
    Fault("earlier laws", "Softmax of opset 11", {("", "Softmax"): (11, laws.EARLIER["", "Softmax"][1])}),
    Fault("earlier laws", "Hardmax along one axis", {("", "Hardmax"): (13, LAWS["", "Hardmax"])}),
    *removed("movers", "Tile", "Upsample"),
    Fault("movers", "Slice moves nothing", {"Slice": condensed.MOVERS["Identity"]}),
    Fault("movers", "Cast to any type", {"Cast": condensed.MOVERS["Identity"]}),
    Fault("movers", "Resize as a pool", {"Resize": condensed.MOVERS["MaxPool"]}),
    exchanged("movers", "Squeeze", "Unsqueeze"),
    Fault("movers", "Reshape as Flatten", {"Reshape": condensed.MOVERS["Flatten"]}),
    Fault("movers", "ReduceMean over images", {"ReduceMean": condensed.MOVERS["GlobalAveragePool"]}),
    *removed("lines", ("", "Neg"), ("", "InstanceNormalization"), (MS, "DequantizeLinear")),
    exchanged("lines", ("", "Add"), ("", "Sub")),
    exchanged("lines", ("", "Mul"), ("", "Div")),
    exchanged("lines", ("", "QuantizeLinear"), ("", "DequantizeLinear")),
    Fault("lines", "BatchNormalization moves", {("", "BatchNormalization"): bearing.RULES["", "Identity"]}),
    Fault("lines", "averages of borders", {("", "AveragePool"): bearing.RULES["", "MaxPool"]}),
    *removed("sizes", "ConstantOfShape", "Where"),
    exchanged("sizes", "Add", "Sub"),
    exchanged("sizes", "Mul", "Div"),
    exchanged("sizes", "Gather", "Slice"),
    Fault("sizes", "Concat as its first part", {"Concat": FOLLOWED["Identity"]}),
    *removed("products", (MS, "FusedMatMul")),
    exchanged("products", ("", "Conv"), ("", "ConvTranspose")),
    changed("products", ("", "Conv"), borders=False),
    changed("products", ("", "Conv"), bias=None),
    changed("products", ("", "Gemm"), factor="beta", bias_factor="alpha"),
    changed("products", ("", "Gemm"), bias_factor=""),
    changed("products", (MS, "FusedMatMul"), factor=""),
    *removed("fused", (NCHWC, "Conv")),
    changed("fused", (MS, "FusedConv"), addend=2),
    changed("fused", (MS, "FusedConv"), addend=None),
    changed("fused", (MS, "FusedConv"), channels_last=True),
    changed("fused", (MS, "NhwcFusedConv"), channels_last=False),
    changed("fused", (MS, "FusedMatMulActivation"), core=("", "MatMul")),
    changed("fused", (MS, "FusedGemm"), core=("", "MatMul")),
    *removed("activations", "Softsign", "Gelu"),
    Fault("activations", "HardSigmoid as LeakyRelu", {"HardSigmoid": fused.ACTIVATIONS["LeakyRelu"]}),
    Fault("activations", "bounds of Clip exchanged", {"Clip": ("max", "min")}),
    Fault("activations", "beta before alpha", {"HardSigmoid": ("beta", "alpha")}),
    Fault("activations", "Elu without a number", {"Elu": ()}),
    exchanged("limits", ir.DataType.FLOAT16, ir.DataType.BFLOAT16),
    Fault("limits", "loose for floats", {ir.DataType.FLOAT: 1e-3}),
]


def is_found_out(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the cases of every row that is wrong contradict it."""
    table = TABLES[fault.table]
    rows = cast("MutableMapping[Any, Any]", table.rows)
    for row, other in fault.rows.items():
        assert row in rows
        if other is GONE:
            monkeypatch.delitem(rows, row)
        else:
            monkeypatch.setitem(rows, row, other)
    return all(table.found(row) for row in fault.rows)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_wrong_row_is_found_out(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_found_out(fault, monkeypatch)


# Tables that are plain lists

OTHERS: Mapping[str, tuple[object, str, object, Callable[[], bool]]] = {
    "Concat moves one operand": (
        condensed,
        "MANY",
        frozenset[str](),
        lambda: not {op for op, cases in move_cases.MOVES.items() if any(c.two for c in cases)} <= condensed.MANY,
    ),
    "QGemm has no bias": (
        parameters,
        "BIASED",
        parameters.BIASED - {(MS, "QGemm")},
        lambda: any(map(number_cases.miscounted, number_cases.COUNTED)),
    ),
    "Gather has a bias": (
        parameters,
        "BIASED",
        parameters.BIASED | {("", "Gather")},
        lambda: any(map(number_cases.miscounted, number_cases.COUNTED)),
    ),
    "codes of two bits are none": (
        parameters,
        "CODES",
        parameters.CODES - {ir.DataType.INT2},
        lambda: any(map(number_cases.miscounted, number_cases.COUNTED)),
    ),
    "indices are codes": (
        parameters,
        "CODES",
        parameters.CODES | {ir.DataType.INT64},
        lambda: any(map(number_cases.miscounted, number_cases.COUNTED)),
    ),
    "doubles are not carried": (
        precision,
        "CARRIED",
        (ir.DataType.BFLOAT16,),
        lambda: any(number_cases.miscarried("DOUBLE", case) for case in number_cases.CARRIED["DOUBLE"]),
    ),
    "types of casts stay": (
        precision,
        "_TYPE_ATTRIBUTES",
        ("dtype", "stash_type"),
        lambda: any(number_cases.miscarried("BFLOAT16", case) for case in number_cases.CARRIED["BFLOAT16"]),
    ),
    "types of what is made stay": (
        precision,
        "_TYPE_ATTRIBUTES",
        ("to", "stash_type"),
        lambda: any(number_cases.miscarried("DOUBLE", case) for case in number_cases.CARRIED["DOUBLE"]),
    ),
    "types of moments stay": (
        precision,
        "_TYPE_ATTRIBUTES",
        ("to", "dtype"),
        lambda: any(number_cases.miscarried("DOUBLE", case) for case in number_cases.CARRIED["DOUBLE"]),
    ),
    "groups are another letter": (
        ranks,
        "_GROUPS",
        "o",
        lambda: any(rank_cases.mistold(case) for cases in rank_cases.CASES.values() for case in cases),
    ),
    **{
        f"{family} without {op}": (
            operators,
            family,
            tuple(one for one in getattr(operators, family) if one != op),
            lambda family=family: family_cases.FAMILIES[family]() != set(getattr(operators, family)),
        )
        for family, op in (
            ("ENTRY_BY_ENTRY", "Sin"),
            ("ELEMENTWISE", "Mod"),
            ("ELEMENTWISE", "Where"),
            ("REDUCE", "ReduceProd"),
            ("POOL", "LpPool"),
            ("GLOBAL_POOL", "GlobalLpPool"),
        )
    },
    **{
        f"{family} with {op}": (
            operators,
            family,
            (*getattr(operators, family), op),
            lambda family=family: family_cases.FAMILIES[family]() != set(getattr(operators, family)),
        )
        for family, op in (
            ("ENTRY_BY_ENTRY", "Softmax"),
            ("ELEMENTWISE", "MatMul"),
            ("REDUCE", "ArgMax"),
            ("POOL", "GlobalMaxPool"),
        )
    },
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_wrong_list_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, attribute, other, found = OTHERS[name]
    monkeypatch.setattr(module, attribute, other)
    assert found()


# Every row and every column

REASONS: Mapping[tuple[str, str], str] = {
    ("QuantizeLinear", "along"): "the row of the axis table gives scales their letter",
    ("DequantizeLinear", "along"): "as above",
    ("QuantizeLinear", "joins"): "blocks have no letters, so that all is held anyway",
    ("DequantizeLinear", "joins"): "as above",
    ("LayerNormalization", "signature"): "axes of a scale are among those that are joined",
    ("RMSNormalization", "signature"): "as above",
    ("GroupNormalization", "signature"): "everything is joined",
    ("TopK", "joins"): "the move of the axis table loses the axis",
    ("ConvInteger", "signature"): "the runtime takes one zero point for all weights",
    ("Squeeze", "moves"): "the move of the axis table says as much",
    ("Unsqueeze", "moves"): "as above",
    ("DepthToSpace", "joins"): "units among rows of an image have not been seen",
    ("SpaceToDepth", "joins"): "as above",
    ("GridSample", "signature"): "the grid is an input, whose axes stay",
    ("DynamicQuantizeMatMul", "zero_points"): "everything counts for the range of codes",
}
"""Columns that could be left out, of an operator, and why."""


def _columns() -> Iterator[Fault]:
    plain = Law()
    for (domain, op), row in LAWS.items():
        said = [one.name for one in fields(Law) if getattr(row, one.name) != getattr(plain, one.name)]
        for column in said:
            if (op, column) not in REASONS:
                yield from off(op, column, domain=domain)


EVERY = [
    *_columns(),
    *(
        fault
        for name, table in TABLES.items()
        if name not in ("limits", "earlier laws")
        for fault in removed(name, *table.rows)
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("fault", EVERY, ids=lambda fault: fault.id)
def test_every_row_and_column_is_needed(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_found_out(fault, monkeypatch)


def test_every_reason_is_of_a_column() -> None:
    said = {
        (op, one.name)
        for (_, op), row in LAWS.items()
        for one in fields(Law)
        if getattr(row, one.name) != getattr(Law(), one.name)
    }
    assert set(REASONS) <= said
