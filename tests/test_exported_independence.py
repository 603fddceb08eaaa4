"""Networks as PyTorch exports them: how many are proved, and whether every proof holds in the runtime."""

from __future__ import annotations

import functools

import onnx
import pytest

from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network.normalize import normalize
from relu_audit.units import sampling
from relu_audit.units.inputs import graph_inputs
from relu_audit.units.locate import locate
from relu_audit.units.overview import overview
from relu_audit.units.standing import Standing
from tests.together import differences

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from tests.exported_nets import NETS, exported

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # the exporters' own and torch.jit's
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

UNPROVED = {
    (
        "last token",
        False,
    ): "the exporter computes one index of sample and place, of which it is not known to stay within",
    ("end token", False): "as above",
}
"""Known kinds that are not proved, by network and whether the newer exporter wrote it, and why."""

NOT_EXPORTED = {("encoder layer", False), ("depthwise and shuffle", False)}
"""What the older exporter cannot write."""

ALL = [(name, dynamo) for name in NETS for dynamo in (False, True) if (name, dynamo) not in NOT_EXPORTED]


@functools.cache
def model(name: str, dynamo: bool) -> onnx.ModelProto:
    return exported(NETS[name], dynamo=dynamo)


@pytest.mark.parametrize(("name", "dynamo"), ALL, ids=lambda value: {True: "dynamo", False: "script"}.get(value, value))
def test_every_proof_of_an_export_holds_in_the_runtime(name: str, dynamo: bool) -> None:
    net, proto = NETS[name], model(name, dynamo)
    network = normalize(open_checkpoint(proto))
    found = sampling.choose(sampling.readings(overview(network)))
    assert found is not None
    if (name, dynamo) in UNPROVED:
        assert found.state.standing is Standing.UNPROVED
        return
    assert found.state.standing is Standing.APART, found.state
    assert dict(found.axes) == {one: net.axis(one) for one in net.inputs}
    census = locate(overview(network), graph_inputs(network, found.axes))
    tensors = [use.output.name or "" for one in census.located for use in one.uses]
    assert tensors
    assert not differences(proto, net.inputs, found.axes, tensors, results=found.results.standing <= Standing.APART)


def test_at_least_as_many_are_proved_as_was_set_as_the_bar() -> None:
    assert 1 - len(UNPROVED) / len(ALL) >= 0.6
