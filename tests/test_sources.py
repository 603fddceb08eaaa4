"""The table of sources: which row a text is of, what the row is known to read, and what help says of all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relu_audit.cli.audit import audit
from relu_audit.errors import DataError
from relu_audit.model.checkpoint import open_checkpoint
from relu_audit.network.normalize import normalize
from relu_audit.observe import sources
from relu_audit.units.inputs import graph_inputs
from tests.graphs import mlp

INPUTS = graph_inputs(normalize(open_checkpoint(mlp((4, 2)))), {"x": 0})
X = np.ones((3, 4), np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One of everything, and folders whose names look like something else."""
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", x=X)
    np.save("a.npy", X)
    for name in ("held", "folder.npz", "dir:code", "held/test_data_set_0"):
        Path(name).mkdir()
        np.save(f"{name}/x.npy", X)
    Path("code.py").write_text("import numpy\ndef feeds():\n    return [{'x': numpy.ones((3, 4), 'f')}]\n")
    Path("notes.txt").write_text("no data")
    return tmp_path


CASES = {
    "a.npz": (".npz", {"a.npz"}),
    "a.npy": (".npy", {"a.npy"}),
    "held": ("a folder of them or of ONNX test sets", {"held/x.npy", "held/test_data_set_0/x.npy"}),
    "folder.npz": ("a folder of them or of ONNX test sets", {"folder.npz/x.npy"}),
    "dir:code": ("a folder of them or of ONNX test sets", {"dir:code/x.npy"}),
    "random:8": ("random:N", set()),
    "code.py:feeds": ("a function (module:function or file.py:function)", {"code.py:feeds", "code.py"}),
}
"""Texts, the row of each, and the files that the row is known to read."""


def test_every_row_has_a_case() -> None:
    assert {name for name, _ in CASES.values()} == {kind.name for kind in sources.KINDS}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("text", CASES)
def test_a_text_is_of_the_row_that_it_names(text: str) -> None:
    name, files = CASES[text]
    kind = sources.kind_of(text)
    assert kind is not None
    assert kind.name == name
    assert {str(file) for file in sources.files(text)} == files
    assert sources.runs_code(text) == (":" in text and not text.startswith("random"))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("text", ["a.npz", "a.npy", "folder.npz", "dir:code", "random:8", "code.py:feeds"])
def test_a_row_opens_what_it_names(text: str) -> None:
    tables = list(sources.open_text(text, INPUTS).tables())
    assert [next(iter(table.columns.values())).shape[-1] for table in tables] == [4] * len(tables)
    assert tables


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("text", "slug"), [("notes.txt", "data-kind"), ("none.txt", "data-not-found")])
def test_a_text_of_no_row_is_refused_with_all_rows(text: str, slug: str) -> None:
    assert sources.kind_of(text) is None
    with pytest.raises(DataError) as raised:
        sources.open_text(text, INPUTS)
    assert raised.value.slug == slug
    assert raised.value.hint == f"Give {sources.listed()}."


def test_a_file_is_gathered_where_its_folder_is_read(folder: Path) -> None:
    for name, gathered in {"new.npz": True, "new.json": False, "test_data_set_0/input_0.pb": True}.items():
        assert sources.gathers("held", folder / "held" / name) is gathered
    assert not sources.gathers("held", folder / "new.npz")
    assert not sources.gathers("a.npz", folder / "new.npz")


def test_help_lists_the_rows() -> None:
    [option] = [one for one in audit.params if one.name == "data"]
    assert sources.listed() in str(getattr(option, "help", ""))
