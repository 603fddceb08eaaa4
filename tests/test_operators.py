"""Rows that users and packages state for operators of other domains, and the assertion that tries them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import relu_audit
from relu_audit.cli import run
from relu_audit.errors import AuditError, DataError, UsageError
from relu_audit.operators import rules
from relu_audit.operators.axes import TABLE
from relu_audit.operators.axes import rule as built_in
from relu_audit.operators.rules import BUILT_IN, row_of, table_with
from relu_audit.testing import assert_axes
from tests.graphs import graph
from tests.oracle import assert_all_agree, one_by_one, oracle

MS = "com.microsoft"
SAMPLE: Mapping[str, Any] = {"domain": MS, "op": "SampleOp", "signature": "* -> *"}
"""Of an operator without a row that gives its input back."""

DISTANCE: Mapping[str, Any] = {"domain": MS, "op": "CDist", "signature": "m k, n k -> m n"}
INVERSE: Mapping[str, Any] = {"domain": MS, "op": "Inverse", "signature": "n r c -> n r c", "mixes": "r c"}
W = np.random.default_rng(1).integers(-2, 3, (4, 5)).astype(np.float32)
X = {"x": np.random.default_rng(0).integers(-2, 3, (6, 3, 4)).astype(np.float32)}


def behind_sample() -> onnx.ModelProto:
    body = f"h = MatMul (x, w)\n g = {MS}.SampleOp (h)\n y = Relu (g)"
    return graph("float[n, 3, 4] x", "float[n, 3, 5] y", body, {"w": W})


def distances() -> onnx.ModelProto:
    return graph("float[3, 4] x, float[5, 4] z", "float[3, 5] y", f'y = {MS}.CDist <metric = "euclidean"> (x, z)')


def draw(*shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 0.9, shape).astype(np.float32)


# What a row is --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"domain": None}, "lacks 'domain'"),
        ({"op": None}, "lacks 'op'"),
        ({"signature": None}, "lacks 'signature'"),
        ({"signatur": "* -> *"}, "Did you mean 'signature'?"),
        ({"since": "7"}, "'since' of an operator's row cannot be '7'"),
        ({"since": True}, "cannot be True"),
        ({"couples": 1}, "'couples' of an operator's row cannot be 1"),
        ({"signature": "* *"}, "must have one '->'"),
        ({"signature": "* -> * -> *"}, "must have one '->'"),
        ({"signature": "n (g c -> n"}, "'n (g c' is no term"),
        ({"signature": "n 3 -> n"}, "'n 3' is no term"),
        ({"signature": "n ~ _ -> n ~"}, "'n ~ _' has more than one of ~, * and _"),
        ({"signature": "n+, c -> n"}, "'n+' is no term"),
        ({"signature": "n _ -> n _"}, "no axis ends in the result 'n _'"),
        ({"mixes": "~"}, "'~' in mixes is no axis of the first term, '*'"),
        ({"placed": ["c"]}, "'c' in placed is no axis of the first term, '*'"),
        ({"signature": "n _ -> n c", "mixes": "_"}, "'_' in mixes is no axis"),
        ({"domain": "", "op": "Relu"}, "the operator 'Relu' has a row already"),
        ({"domain": "ai.onnx", "op": "Softmax"}, "the operator 'Softmax' has a row already"),
        ({"op": "QLinearAdd"}, "the operator 'com.microsoft.QLinearAdd' has a row already"),
    ],
)
def test_settings_that_make_no_row_are_refused(changes: Mapping[str, Any], words: str) -> None:
    given = {key: value for key, value in {**SAMPLE, **changes}.items() if value is not None}
    for refuse in (lambda: row_of(given), lambda: relu_audit.sites(behind_sample(), operators=[given])):
        with pytest.raises(UsageError) as caught:
            refuse()
        assert caught.value.slug == "operator-row"
        assert words in f"{caught.value.message} {caught.value.hint}"


def test_a_row_holds_from_its_version_on_and_rows_of_the_table_hold_as_before() -> None:
    table = table_with([{**SAMPLE, "since": 3}, {**SAMPLE, "since": 5, "couples": True}])
    assert [(row := table(MS, "SampleOp", version)) and row.since for version in (2, 3, 4, 5, 6)] == [None, 3, 3, 5, 5]
    assert all(table(row.domain, row.op, row.since) is built_in(row.domain, row.op, row.since) for row in TABLE)
    assert BUILT_IN(MS, "SampleOp", 9) is None


def test_two_rows_for_one_version_are_refused() -> None:
    with pytest.raises(UsageError, match=r"two rows are for 'com\.microsoft\.SampleOp' from version 1 on"):
        table_with([SAMPLE, {**SAMPLE, "mixes": "*"}])


# What rows do ---------------------------------------------------------------------------------------------------------


def test_units_are_found_and_samples_are_proved_behind_an_operator_with_a_row() -> None:
    without = relu_audit.audit(behind_sample(), X)
    assert [site.assumed for site in without.sites] == [True]
    found = relu_audit.audit(behind_sample(), X, operators=iter([SAMPLE]))
    assert [(site.unit_axis, site.assumed, site.weight) for site in found.sites] == [(2, False, "w")]
    assert (without.data.known, found.data.known) == ("tried", "proved")
    assert found.notes == ("what com.microsoft.SampleOp does to axes is what you state",)
    assert_all_agree(found, oracle(behind_sample(), one_by_one(X), {"y": 2}), exact=False)


def test_samples_that_a_row_mixes_do_not_share_a_run() -> None:
    with pytest.raises(DataError) as caught:
        relu_audit.audit(behind_sample(), X, operators=[{**SAMPLE, "mixes": "*"}])
    assert caught.value.slug == "samples-mixed"
    assert "SampleOp" in caught.value.message
    found = relu_audit.audit(behind_sample(), X, operators=[{**SAMPLE, "couples": True}])
    assert found.data.samples == 6


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_pruning_keeps_what_has_a_row_and_no_law(scale: float) -> None:
    body = f"h = MatMul (x, w)\n g = {MS}.SampleOp (h)\n r = Relu (g)\n y = MatMul (r, v)"
    model = graph("float[n, 4] x", "float[n, 2] y", body, {"w": W * (np.arange(5) != 3) * scale, "v": draw(5, 2)})
    data = {"x": X["x"][:, 0]}
    found = relu_audit.audit(model, data, operators=[SAMPLE])
    pruned = relu_audit.prune(model, found, data=data, align=1, operators=[SAMPLE])
    assert found.dead
    assert "what com.microsoft.SampleOp does to axes is what you state" in pruned.plan.notes
    assert [site.unit_axis for site in found.sites] == [1]


def test_prospects_take_the_same_rows() -> None:
    body = f"h = MatMul (x, w)\n g = {MS}.SampleOp (h)\n r = Relu (g)\n y = MatMul (r, v)"
    weights = {"w": W * (np.arange(5) != 3), "v": draw(5, 2)}
    model = graph("float[n, 4] x", "float[n, 2] y", body, weights)
    found = relu_audit.audit(model, {"x": X["x"][:, 0]}, operators=[SAMPLE], costs=True)
    assert found.prospect is not None
    assert found.prospect.failure is None


# Where rows come from -------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    onnx.save(behind_sample(), "m.onnx")
    np.savez("d.npz", **X)  # type: ignore[arg-type]
    return tmp_path


STATED = 'domain = "com.microsoft"\nop = "SampleOp"\nsignature = "* -> *"\n'


@pytest.mark.parametrize(
    ("file", "head"), [("relu-audit.toml", "[[operators]]"), ("pyproject.toml", "[[tool.relu-audit.operators]]")]
)
def test_commands_take_rows_from_the_settings(
    here: Path, file: str, head: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / file).write_text(f"{head}\n{STATED}")
    for arguments in (["sites", "m.onnx"], ["m.onnx", "--data", "d.npz"], ["each", "m.onnx", "--data", "d.npz"]):
        assert run(arguments) == 0
        assert "what com.microsoft.SampleOp does to axes is what you state" in " ".join(capsys.readouterr().out.split())
    assert run(["prune", "m.onnx", "--data", "d.npz", "--dry-run"]) == 0
    assert "SampleOp" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "slug", "words"),
    [
        ("operators = 3\n", "config", "'operators' is not of the right form"),
        ("operators = [3]\n", "config", "'operators' is not of the right form"),
        (f"[[operators]]\n{STATED}mixs = 1\n", "operator-row", "'mixs' is no setting"),
    ],
)
@pytest.mark.parametrize("arguments", [["sites", "m.onnx"], ["m.onnx", "--data", "d.npz"]])
def test_settings_of_another_form_are_refused(
    here: Path, text: str, slug: str, words: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "relu-audit.toml").write_text(text)
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert f"[{slug}]" in error


@dataclass(frozen=True)
class Point:
    """An entry point, as an installed package has them."""

    found: object
    name: str = "rows"
    module: str = "some_package"
    dist: None = None

    def load(self) -> object:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def install(monkeypatch: pytest.MonkeyPatch, *points: Point) -> None:
    monkeypatch.setattr(rules, "installed", lambda places: points)


@pytest.mark.parametrize("found", [SAMPLE, [SAMPLE], lambda: [SAMPLE], lambda: SAMPLE])
def test_installed_packages_bring_rows(monkeypatch: pytest.MonkeyPatch, found: object) -> None:
    install(monkeypatch, Point(found))
    listing = relu_audit.sites(behind_sample())
    assert [site.assumed for site in listing.sites] == [False]
    assert listing.notes == ("what com.microsoft.SampleOp does to axes is what the package 'some_package' states",)


def test_what_the_user_states_goes_before_what_a_package_states(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Point({**SAMPLE, "mixes": "*"}))
    assert relu_audit.audit(behind_sample(), X, operators=[SAMPLE]).data.known == "proved"


def test_an_entry_point_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Point(ImportError("no such module")))
    with pytest.raises(UsageError, match=r"the entry point 'rows' of relu_audit\.operators failed") as caught:
        relu_audit.sites(behind_sample())
    assert caught.value.slug == "operator-row"


# The assertion --------------------------------------------------------------------------------------------------------

TWO = {"x": draw(3, 4), "z": draw(5, 4, seed=4)}
SQUARES = {"x": draw(2, 3, 3) + np.eye(3, dtype=np.float32)}


def squares() -> onnx.ModelProto:
    return graph("float[2, 3, 3] x", "float[2, 3, 3] y", f"h = Mul (x, x)\n y = {MS}.Inverse (h)")


def test_a_right_row_is_let_pass() -> None:
    assert_axes(DISTANCE, distances(), TWO)
    assert_axes(INVERSE, squares(), SQUARES)
    assert_axes(SAMPLE, behind_sample(), X)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({**DISTANCE, "signature": "m k, n k -> n m"}, "axis 0 of operand 0 ('x') has another length in result 0"),
        ({**DISTANCE, "signature": "m k, n k -> m n e"}, "result 0 has 2 axes, and the term 'm n e'"),
        ({**DISTANCE, "signature": "m k, n k -> m"}, "result 0 has 2 axes, and the term 'm'"),
        ({**DISTANCE, "signature": "m _, n _ -> m n"}, "an entry is made of several along axis 1 of operand 0 ('x')"),
        ({**DISTANCE, "signature": "m k, _ -> m n"}, "axis 0 of operand 1 ('z') is axis 1 of result 0"),
        ({**DISTANCE, "mixes": "m"}, "along axis 0 of operand 0 ('x') no entry of a result is made of several"),
        ({**DISTANCE, "placed": "m"}, "along axis 0 of operand 0 ('x') the index of an entry changes nothing"),
        ({**INVERSE, "mixes": "r"}, "and the row says on 1 alone"),
        ({**INVERSE, "mixes": ""}, "depends on index 0 of axis 1 of operand 0 ('h')"),
        ({**SAMPLE, "signature": "n ~ -> n c d"}, "axis 1 of operand 0 ('h') ends, but no entry is made of several"),
        ({**SAMPLE, "signature": "n _ -> n c d"}, "axis 1 of operand 0 ('h') is axis 1 of result 0"),
    ],
)
def test_a_wrong_row_is_contradicted(row: Mapping[str, Any], words: str) -> None:
    model, data = {"CDist": (distances, TWO), "Inverse": (squares, SQUARES), "SampleOp": (behind_sample, X)}[row["op"]]
    with pytest.raises(AssertionError) as caught:
        assert_axes(row, model(), data)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"the row of {MS}.{row['op']} is contradicted by the operator:\n- ")


def test_an_operator_of_a_library_is_tried() -> None:
    library = pytest.importorskip("onnxruntime_extensions").get_library_path()
    model = graph("float[3, 4] x", "float[3, 4] y, float[3, 4] z", "y, z = ai.onnx.contrib.NegPos (x)")
    model.opset_import.add(domain="ai.onnx.contrib", version=1)
    row = {"domain": "ai.onnx.contrib", "op": "NegPos", "signature": "* -> *, *"}
    assert_axes(row, model, {"x": draw(3, 4) - np.float32(0.5)}, custom_ops=[library])
    with pytest.raises(AuditError) as caught:
        assert_axes(row, model, {"x": draw(3, 4)})
    assert caught.value.slug == "unsupported-operator"


def test_a_model_without_the_operator_is_refused() -> None:
    with pytest.raises(AuditError) as caught:
        assert_axes(SAMPLE, distances(), TWO)
    assert caught.value.slug == "operator-absent"
