"""Values in the blocked layout (NCHWc) of files that onnxruntime optimised at its highest level.

There an image holds its channels in blocks of 8 or 16, by the processor, filled up with zeros to whole blocks. Nothing
in the file says which values are blocked or how many channels are filling: the first follows from the operators, the
second from where the image leaves the layout, or else from the weights that were filled up with it.

Source: onnxruntime's NCHWc transformer and its operators of domain com.microsoft.nchwc.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from relu_audit.activations.taps import OPEN, Blocks, Tap

DOMAIN = "com.microsoft.nchwc"
_ENTERS, _LEAVES, _FILLS = "ReorderInput", "ReorderOutput", "Conv"
_ADDEND = 3
"""Input of a convolution that is added to its result, channel by channel."""
_BLOCK_SIZES = (8, 16)
_DEEPEST = 100
"""Operators that are looked through on the way to a convolution or out of the layout."""


def tap(value: ir.Value) -> Tap:
    """How a value is read: out of blocks, if it is in them."""
    origin = _origin(value)
    if origin is None:
        return OPEN
    channels = _channels_on_leaving(value)
    if channels is None:
        channels = _channels_with_weights(origin)
    return OPEN if channels is None else Blocks(channels)


def _origin(value: ir.Value | None) -> ir.Node | None:
    """What put a value into blocks: a convolution, or the way into the layout; None if it is not in them."""
    for _ in range(_DEEPEST):
        node = None if value is None else value.producer()
        if node is None or (node.domain == DOMAIN and node.op_type == _LEAVES):
            return None
        if node.domain == DOMAIN and node.op_type in (_ENTERS, _FILLS):
            return node
        value = next((v for v in node.inputs if v is not None and v.const_value is None), None)
    return None


def _channels_on_leaving(value: ir.Value) -> int | None:
    """The channels that leave the layout behind operators that keep them."""
    pending, seen = [value], {value}
    while pending and len(seen) < _DEEPEST:
        for user, index in pending.pop().uses():
            if user.domain == DOMAIN and user.op_type == _LEAVES:
                return user.attributes["channels"].as_int()
            if user.op_type == "Concat" or (user.op_type == _FILLS and index != _ADDEND):
                continue
            new = [out for out in user.outputs if out not in seen]
            seen.update(new)
            pending += new
    return None


def _channels_with_weights(convolution: ir.Node) -> int | None:
    """Output channels that are not filling, which has neither weights nor a bias and lies in the last block."""
    if convolution.op_type == _ENTERS:
        return None
    weight, bias = (_numbers(convolution, index) for index in (1, 2))
    if weight is None:
        return None
    channels = weight.shape[0]
    filling = 0
    for size in _BLOCK_SIZES:
        if channels % size:
            continue
        idle = ~weight.reshape(channels // size, -1, size)[-1].any(axis=0)
        if bias is not None:
            idle &= bias[channels - size : channels] == 0
        for read in _read_by(convolution.outputs[0]):
            if (
                read.shape[1] == channels and read.shape[0] % size == 0
            ):  # rows of a channel that is filling are zero too
                idle &= ~read.reshape(read.shape[0] // size, channels // size, -1, size, size)[:, -1].any(
                    axis=(0, 1, 3)
                )
        filling = max(filling, size if idle.all() else int(np.argmin(idle[::-1])))
    return channels - filling


def _read_by(value: ir.Value) -> list[np.ndarray]:
    """Weights of the convolutions that read a value as it is, or behind operators that keep channels apart."""
    pending, seen, found = [value], {value}, list[np.ndarray]()
    while pending and len(seen) < _DEEPEST:
        for user, index in pending.pop().uses():
            weight = _numbers(user, 1)
            if user.domain == DOMAIN and user.op_type == _FILLS and index == 0:
                found += [] if weight is None else [weight]
            elif user.op_type != "Concat":
                new = [out for out in user.outputs if out not in seen]
                seen.update(new)
                pending += new
    return found


def _numbers(node: ir.Node, index: int) -> np.ndarray | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    return None if value is None or value.const_value is None else value.const_value.numpy()
