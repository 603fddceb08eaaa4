"""Names of operators that do alike, for the tables that have one row for all of them.

Sources: the operator pages of ONNX (onnx.ai/onnx/operators).
"""

from __future__ import annotations

ENTRY_BY_ENTRY = (
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BitwiseNot",
    "Cast",
    "Ceil",
    "Celu",
    "Cos",
    "Cosh",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "IsInf",
    "IsNaN",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Not",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
)
"""Of one operand: every entry of the result is made of the one in its place."""

ELEMENTWISE = (
    "Add",
    "And",
    "BitShift",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Or",
    "PRelu",
    "Pow",
    "Sub",
    "Sum",
    "Where",
    "Xor",
)
"""Of several operands that broadcast: every entry is made of those in its place."""

REDUCE = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
)
"""Away with axes, or with all but one entry of them."""

POOL = (
    "AveragePool",
    "LpPool",
    "MaxPool",
)
"""Images seen through windows."""

GLOBAL_POOL = (
    "GlobalAveragePool",
    "GlobalLpPool",
    "GlobalMaxPool",
)
"""Images seen as a whole."""

CONTRACTING = ("Einsum",)
"""Operators that may take as long as the product of all their operands' sizes, whatever the size of the result."""
