"""What a node is, as an activation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from relu_audit.activations.taps import OPEN, Tap


@dataclass(frozen=True)
class Rectifies:
    """The node rectifies.

    Attributes:
        spelling: How that is written.
        source: The pre-activation; None where it shows nowhere.
        hides_nan: Whether its output is a number where its input is none.
        tap: How its first output, and the pre-activation, are read.
        implicit: Why it rectifies, where no activation says so.
        above: The largest input that it does not let through, for every entry: an array that broadcasts to the output.
        exempt: Which entries it does not rectify; such an array, or None if it rectifies all of them.
        slopes: Whether the entries that it does not rectify have a slope everywhere.
        base: What the node is a function of, whether that shows or not.
        nodes: The nodes from there on, the last of which is the node itself; empty where the node is none.
        like: A value with the axes of the output, where that tells more of them; else None.
    """

    spelling: str
    source: ir.Value | None = None
    hides_nan: bool = False
    tap: Tap = OPEN
    implicit: str = ""
    above: np.ndarray = field(default_factory=lambda: np.zeros(()))
    exempt: np.ndarray | None = None
    slopes: bool = False
    base: ir.Value | None = None
    nodes: tuple[ir.Node, ...] = ()
    like: ir.Value | None = None


@dataclass(frozen=True)
class StaysAlive:
    """The node passes a gradient everywhere."""

    name: str
    reason: str


@dataclass(frozen=True)
class Unclear:
    """Whether the node rectifies depends on something that is not in the file, or it cannot be observed."""

    name: str
    detail: str
    slug: str


Reading = Rectifies | StaysAlive | Unclear | None
