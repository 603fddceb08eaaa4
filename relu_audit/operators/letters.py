"""How a node's attributes and ranks rewrite the signature of its row: the functions that rows of the axis table name.

Each takes an :class:`Operation` and the row's signature and returns the node's own. A node of which nothing can be said
is a ``ValueError``.
"""

from __future__ import annotations

from collections.abc import Callable

from relu_audit.operators.layout import axis_size
from relu_audit.operators.moves import Operation

Letters = Callable[[Operation, str], str]

_ALPHABET = "acdefghijklmnopqrstuvwxyz"
"""Letters for axes by their number; ``b`` is the batch of operators that fix its place."""


def transposed_by(*flags: str) -> Letters:
    """Swap the two letters of the n-th input term where the n-th flag is set (Gemm)."""

    def letters(op: Operation, signature: str) -> str:
        left, right = signature.split("->")
        terms = left.split(",")
        for index, flag in enumerate(flags):
            if op.integer(flag, 0):
                terms[index] = " ".join(reversed(terms[index].split()))
        return f"{','.join(terms)}->{right}"

    return letters


def product_and_sum(index: int, *flags: str) -> Letters:
    """As :func:`transposed_by`; what is added may be a matrix, whose axes of one entry broadcast (Gemm, QGemm)."""

    def letters(op: Operation, signature: str) -> str:
        left, right = transposed_by(*flags)(op, signature).split("->")
        terms = left.split(",")
        added = op.inputs[index] if index < len(op.inputs) else None
        if added is None or not 1 <= len(added) <= 2 or terms[index].split() != ["n"]:
            return f"{left}->{right}"
        # A constant has letters of its own beside constant matrices only: it is no weight by itself.
        second = _operands(signature)[1]
        columns = axis_size(added[-1]) != 1 and not (_is_constant(op, index) and not _is_constant(op, second))
        rows = len(added) == 2 and axis_size(added[0]) != 1 and not _is_constant(op, index)
        terms[index] = " ".join((["m" if rows else "_"] if len(added) == 2 else []) + ["n" if columns else "_"])
        return f"{','.join(terms)}->{right}"

    return letters


def constant_rows(op: Operation, index: int) -> bool:
    """Whether an operand is a constant matrix of several rows: the rows of a batch of fixed length differ by it."""
    layout = op.inputs[index] if index < len(op.inputs) else None
    return layout is not None and len(layout) == 2 and axis_size(layout[0]) != 1 and _is_constant(op, index)


def _is_constant(op: Operation, index: int) -> bool:
    value = op.node.inputs[index] if index < len(op.node.inputs) else None
    return value is not None and value.const_value is not None


def vectors_allowed(op: Operation, signature: str) -> str:
    """A rank-1 operand of MatMul has only the contracted letter, and the other one's letter leaves the output."""
    first, second = (op.inputs[i] for i in _operands(signature))
    if first is not None and len(first) == 1:
        signature = signature.replace("* m k", "k").replace("* m n", "* n")
    if second is not None and len(second) == 1:
        signature = signature.replace("* k n", "k").replace("m n", "m").replace("* n", "*")
    return signature


def _operands(signature: str) -> list[int]:
    """Which inputs are the matrices: the quantized forms have scales and zero points between them."""
    return [i for i, term in enumerate(signature.split("->")[0].split(",")) if "k" in term.split()]


def channels_last_by(flag: str) -> Letters:
    """An image with its channel axis at the end where the flag is set (layouts of onnxruntime's own operators)."""

    def letters(op: Operation, signature: str) -> str:
        if not op.integer(flag, 0):
            return signature
        return signature.replace("n c ~", "n ~ c").replace("n (g c) ~", "n ~ (g c)").replace("n (g o) ~", "n ~ (g o)")

    return letters


def blocked_from(op: Operation, signature: str) -> str:
    """ReorderInput takes either layout and gives blocks of channels, which count as channels first."""
    return signature.replace("n c ~ ->", "n ~ c ->") if op.integer("channels_last", 0) else signature


def batch_first_by(flag: str) -> Letters:
    """The layout attribute of the recurrent operators puts the batch before time and direction (opset 14)."""

    def letters(op: Operation, signature: str) -> str:
        if not op.integer(flag, 0):
            return signature
        signature = signature.replace("t b k", "b t k").replace("d b _", "b d _")
        return signature.replace("t d b h", "b t d h").replace("d b h", "b d h")

    return letters


def transposed_operands(op: Operation, signature: str) -> str:
    """FusedMatMul swaps an operand's last two axes by ``transA``, and batch and rows by ``transBatchA``."""
    left, right = signature.split("->")
    terms = [term.split() for term in left.split(",")]
    for term, side, layout in zip(terms, "AB", op.inputs, strict=False):
        if layout is not None and len(layout) == 1:
            continue  # a vector has nothing to swap
        if op.integer(f"trans{side}", 0):
            term[1:] = reversed(term[1:])
        if op.integer(f"transBatch{side}", 0):
            term[:2] = reversed(term[:2])
    return vectors_allowed(op, f"{', '.join(map(' '.join, terms))} ->{right}")


def by_equation(op: Operation, signature: str) -> str:
    """Einsum carries its own signature."""
    del signature
    attribute = op.node.attributes["equation"]
    equation = str(attribute.value if isinstance(attribute.value, str) else "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    if not arrow:
        seen = left.replace(",", "").replace("...", "")
        right = ("..." if "..." in left else "") + "".join(sorted(x for x in set(seen) if seen.count(x) == 1))

    def spaced(term: str) -> str:
        return " ".join("*" if part == "." else part for part in term.replace("...", "."))

    return f"{', '.join(map(spaced, left.split(',')))} -> {spaced(right)}"


def per_axis(op: Operation, signature: str) -> str:
    """A scale of rank one runs along ``axis`` (QuantizeLinear, DequantizeLinear)."""
    source, scale = op.inputs[0], op.inputs[1]
    if source is None or scale is None or len(scale) != 1 or axis_size(scale[0]) == 1 or op.integer("block_size", 0):
        return signature
    axes = _spelt(len(source))
    along = axes[op.integer("axis", 1) % len(axes)]
    return f"{' '.join(axes)}, {along}, {along} -> {' '.join(axes)}"


def per_place(op: Operation, signature: str) -> str:
    """Parameters may be those of every place of the image (BatchNormalization before opset 9)."""
    scale = op.inputs[1] if len(op.inputs) > 1 else None
    return (
        signature if scale is None or len(scale) < 2 else signature.replace(" c,", " c ~,").replace(" c ->", " c ~ ->")
    )


def scattered(op: Operation, signature: str) -> str:
    """Indices and updates line up with the data, but along ``axis`` and where they are fewer (ScatterElements)."""
    source = op.inputs[0]
    if source is None:
        return signature
    axes, own = _spelt(len(source)), lined_up(op)
    updates = " ".join(x if i in own else "_" for i, x in enumerate(axes))
    return f"{' '.join(axes)}, {updates}, {updates} -> {' '.join(axes)}"


def lined_up(op: Operation) -> frozenset[int]:
    """Axes along which there are as many updates as data, but ``axis``."""
    sizes = [[axis_size(axis) for axis in op.inputs[index] or ()] for index in (0, 2)]
    along = op.integer("axis", 0) % max(len(sizes[0]), 1)
    pairs = enumerate(zip(*sizes, strict=False))
    return frozenset(axis for axis, (ours, theirs) in pairs if ours is not None and ours == theirs and axis != along)


def scattered_slices(op: Operation, signature: str) -> str:
    """Updates are slices of the data, behind as many axes as an index has numbers (ScatterND)."""
    source, indices = op.inputs[0], op.inputs[1]
    numbers = None if not indices else axis_size(indices[-1])
    if source is None or not isinstance(numbers, int):
        return signature
    axes = _spelt(len(source))
    return f"{' '.join(axes)}, _, {' '.join(['_', *axes[numbers:]])} -> {' '.join(axes)}"


def written(op: Operation, signature: str) -> str:
    """An update of some entries along ``axis``, for each row from an index of its own on (TensorScatter)."""
    source = op.inputs[0]
    if source is None:
        return signature
    axes = _spelt(len(source))
    along = op.integer("axis", -2) % len(axes)
    update = ["_" if i == along else x for i, x in enumerate(axes)]
    return f"{' '.join(axes)}, {' '.join(update)}, {axes[0]} -> {' '.join(axes)}"


def vectors_are_rows(op: Operation, signature: str) -> str:
    """An operand of one axis holds the features of one row (FeatureVectorizer)."""
    left, right = signature.split("->")
    term = left.rstrip(" +")
    return f"{', '.join('_' if layout is not None and len(layout) == 1 else term for layout in op.inputs)} -> {right}"


def reversed_rows(op: Operation, signature: str) -> str:
    """One length for each row along ``batch_axis``; along ``time_axis`` entries change places (ReverseSequence)."""
    del signature
    source = op.inputs[0]
    if source is None:
        raise ValueError("an operand of unknown rank")
    axes = _spelt(len(source))
    row, time = op.integer("batch_axis", 1) % len(axes), op.integer("time_axis", 0) % len(axes)
    before, after = ([mark if i == time else x for i, x in enumerate(axes)] for mark in "_z")
    return f"{' '.join(before)}, {axes[row]} -> {' '.join(after)}"


def one_hot(op: Operation, signature: str) -> str:
    """A new axis at ``axis``, at the end by default (OneHot)."""
    source = op.inputs[0]
    if source is None:
        raise ValueError("an operand of unknown rank")
    axes = _spelt(len(source))
    new = op.integer("axis", -1) % (len(axes) + 1)
    return f"{' '.join(axes)}, _, _ -> {' '.join([*axes[:new], 'z', *axes[new:]])}"


def looked_up(op: Operation, signature: str) -> str:
    """The axis that ``gather_axis`` names replaced by the axes of the indices (GatherBlockQuantized)."""
    source, indices = op.inputs[0], op.inputs[1]
    if source is None or indices is None:
        raise ValueError("operands of unknown rank")
    axes, new = _spelt(len(source) + len(indices)), len(source)
    along = op.integer("gather_axis", 0) % len(source)
    middle = axes[new:]
    # Entries of the table come out of their codes, of which a byte may hold two.
    return f"_, {' '.join(middle)}, _, _ -> {' '.join([*axes[:along], *middle, *axes[along + 1 : new]])}"


def rotated(positions: int, tables: tuple[int, int]) -> Letters:
    """Rows of tables that the positions pick, or else tables of a row for each token (RotaryEmbedding)."""

    def letters(op: Operation, signature: str) -> str:
        source = op.inputs[0]
        if source is None or len(source) not in (3, 4):
            return signature
        data = "n h s d" if len(source) == 4 else "n s d"
        picked = op.inputs[positions] if op.given(positions) else None
        terms = {index: "_" if op.given(positions) else "n s _" for index in tables}
        terms[positions] = "n s" if picked is not None and len(picked) == 2 else "_"
        return f"{data}, {', '.join(terms[i] for i in sorted(terms))} -> {data}"

    return letters


def masked(index: int) -> Letters:
    """A mask of rank one may hold several numbers for each sample (Attention of onnxruntime)."""

    def letters(op: Operation, signature: str) -> str:
        left, right = signature.split("->")
        terms = left.split(",")
        if loose_mask(op, index):
            terms[index] = " _"
        return f"{','.join(terms)}->{right}"

    return letters


def loose_mask(op: Operation, index: int) -> bool:
    """Whether a mask is a list, and not known to have one number for each sample."""
    mask, source = op.inputs[index] if index < len(op.inputs) else None, op.inputs[0]
    if mask is None or source is None or len(mask) != 1:
        return False
    length = axis_size(mask[0])
    return length is None or length != axis_size(source[0])


def heads_of_values(op: Operation, signature: str) -> str:
    """Values of rank three have the axis of the result (MultiHeadAttention); masks as in :func:`masked`."""
    query = op.inputs[0]
    values = op.inputs[2] if len(op.inputs) > 2 else None
    if query is None:
        raise ValueError("queries of unknown rank")
    if len(query) == 5:  # queries, keys and values in one
        signature = signature.replace("b s d", "b s j e d")
    if values is None or len(values) != 3:
        signature = signature.replace("b t (j v)", "b _")
    return masked(4)(op, signature)


def attended(op: Operation, signature: str) -> str:
    """Queries, keys and values in three axes or four; a mask in fewer is the same for all samples (Attention)."""
    query = op.inputs[0]
    mask = op.inputs[3] if len(op.inputs) > 3 else None
    if query is None or len(query) not in (3, 4):
        raise ValueError("queries of unknown rank")
    if mask is None or len(mask) != 4:
        signature = signature.replace("b _ _ _", "_")
    if len(query) == 4:
        return signature
    own = op.integer("q_num_heads", 0) == op.integer("kv_num_heads", 0)
    values, result = ("b t (j v)", "b s (j v)") if own else ("b _", "b s w")
    signature = signature.replace("b j s d", "b s d").replace("-> b j s v", f"-> {result}")
    return signature.replace("b _, b _ v", f"b _, {values}", 1).replace("b _, b _ v", "b _, b _", 1)


def _spelt(rank: int) -> list[str]:
    if rank > len(_ALPHABET):
        raise ValueError("more axes than letters")
    return list(_ALPHABET[:rank])
