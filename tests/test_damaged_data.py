"""Data that lies about itself: refused with its slug and its name, in bounded time and memory, whatever the lie."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import re
import signal
import socket
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import count, repeat
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from relu_audit import AuditError, audit
from relu_audit.cli import run
from relu_audit.observe import archives
from relu_audit.observe.archives import open_npz
from relu_audit.observe.columns import Table
from relu_audit.observe.stored import npy_column
from tests.graphs import graph

HOSTILE = Path(__file__).parents[2] / "shared" / "cases" / "hostile"
X = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
EYE = np.eye(4, dtype=np.float32)
SECONDS = 5.0
MEMORY = 64 << 20


def model() -> onnx.ModelProto:
    return graph("float[n, 4] x", "float[n, 4] y", "h = MatMul (x, w)\n y = Relu (h)", {"w": EYE})


def any_size() -> onnx.ModelProto:
    """A model that takes an array of two axes of any length."""
    return graph("float[n, d] x", "float[n, d] y", "y = Relu (x)")


def any_rank() -> onnx.ModelProto:
    """A model that takes an array of any shape."""
    made = any_size()
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.ClearField("shape")
    return made


MODELS = {"rows of four": model, "rows of any length": any_size, "any shape": any_rank}


@contextmanager
def bounded(seconds: float = SECONDS, memory: int = MEMORY) -> Generator[None]:
    """Fail what takes longer than some seconds, or more memory than some bytes."""

    def stop(*_: Any) -> NoReturn:
        pytest.fail(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def refused(made: onnx.ModelProto, data: object, **options: Any) -> AuditError:
    with bounded(), pytest.raises(AuditError) as caught:
        audit(made, data, **options)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert len(caught.value.message) < 500
    return caught.value


def npy(header: str | bytes, data: bytes = X.tobytes(), version: tuple[int, int] = (1, 0), length: int = -1) -> bytes:
    """An array file with any header, and any length of it."""
    text = header if isinstance(header, bytes) else header.encode("latin1")
    width = {1: "<H"}.get(version[0], "<I")
    return b"\x93NUMPY" + bytes(version) + struct.pack(width, len(text) if length < 0 else length) + text + data


def says(shape: str, descr: str = "'<f4'", fortran: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


HEADERS: dict[str, bytes] = {
    "negative rows": npy(says("(-300, 4)")),
    "two negative axes": npy(says("(-300, -4)")),
    "negative axis behind": npy(says("(300, -4)")),
    "all but one axis negative": npy(says("(-1, 4)")),
    "sizes that wrap to zero": npy(says("(2, 4294967296, 4294967296)")),
    "sizes that wrap to the right number": npy(says("(300, 4611686018427387908)")),
    "a size beyond 64 bits": npy(says("(18446744073709551617, 4)")),
    "a size of ten thousand digits": npy(says(f"(1{'0' * 9000}, 4)")),
    "no entry, and sizes that wrap": npy(says("(0, 4294967296, 4294967296)"), b""),
    "no entry, and a size beyond 64 bits": npy(says("(0, 36893488147419103232)"), b""),
    "numbers behind an array of none": npy(says("(1000000000, 0)")),
    "rows far beyond the file": npy(says("(1099511627776, 4)"), X.tobytes()[:900]),
    "a row far beyond the file": npy(says("(1, 1099511627776)"), X.tobytes()[:900]),
    "65 axes": npy(says("(300, 4" + ", 1" * 63 + ")")),
    "a thousand axes": npy(says("(" + "1, " * 1000 + ")"), X.tobytes()[:4]),
    "a boolean axis": npy(says("(True, 4)"), X.tobytes()[:16]),
    "a boolean axis that is none": npy(says("(False, 4)"), b""),
    "a fractional axis": npy(says("(300.0, 4)")),
    "an axis that is text": npy(says("('300', 4)")),
    "a list for a shape": npy(says("[300, 4]")),
    "a number for a shape": npy(says("1200")),
    "text without a character": npy(says("(300, 4)", "'<U0'"), b""),
    "bytes without a byte": npy(says("(300, 4)", "'|S0'"), b""),
    "void without a byte": npy(says("(1000000000, 4)", "'|V0'"), b""),
    "records without a field": npy(says("(300, 4)", "[]"), b""),
    "entries that are arrays": npy(says("(300,)", "('<f4', (4,))")),
    "an entry of two gibibytes": npy(says("(300, 4)", "'<U536870911'")),
    "an unknown type": npy(says("(300, 4)", "'<q9'")),
    "a type that is a number": npy(says("(300, 4)", "7")),
    "an order that is a number": npy(says("(300, 4)", fortran="2")),
    "Fortran order far beyond the file": npy(says("(1099511627776, 4)", fortran="True")),
    "a call": npy("__import__('os').abort()"),
    "a sum": npy(says("(299 + 1, 4)")),
    "no literal": npy("{descr: <f4}"),
    "nothing": npy(""),
    "nul bytes": npy(b"\0" * 118),
    "no text": npy(b"\xff\xfe" * 59),
    "a key too many": npy(says("(300, 4)").replace("{", "{'more': 1, ")),
    "a key too few": npy("{'descr': '<f4', 'shape': (300, 4)}"),
    "deep brackets": npy("(" * 4000 + ")" * 4000),
    "deep lists": npy("[" * 180 + "]" * 180),
    "deep signs": npy("-" * 9000 + "1"),
    "deep additions": npy("1" + "+1" * 4000),
    "a header of 60,000 bytes": npy(says("(300, 4)") + " " * 60_000),
    "a header that claims more than the file": npy(says("(300, 4)"), length=60_000),
    "a header that claims four gibibytes": npy(says("(300, 4)"), version=(2, 0), length=0xFFFFFFFF),
    "a header cut by its length": npy(says("(300, 4)"), length=20),
    "a header that reaches into the numbers": npy(says("(300, 4)"), length=len(says("(300, 4)")) + 64),
    "version 9": npy(says("(300, 4)"), version=(9, 0)),
    "version 0": npy(says("(300, 4)"), version=(0, 0)),
    "version 1.7": npy(says("(300, 4)"), version=(1, 7)),
    "version 255": npy(says("(300, 4)"), version=(255, 255)),
    "numbers cut short": npy(says("(300, 4)"), X.tobytes()[:-1]),
    "a byte too many": npy(says("(300, 4)"), X.tobytes() + b"\0"),
    "a second array behind": npy(says("(300, 4)")) + npy(says("(300, 4)")),
    "an archive": b"PK\x03\x04" + bytes(60),
    "a magic word alone": b"\x93NUMPY",
    "half a magic word": b"\x93NU",
    "no byte": b"",
}


def looked_at(table: Table) -> AuditError:
    """What is said of the only array of a table, once it is asked for."""
    with bounded(), pytest.raises(AuditError) as caught:
        for _ in next(iter(table.columns.values())).blocks(256):
            pass
    return caught.value


@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
def test_header_that_no_array_can_have_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "d.npy").write_bytes(content)
    error = refused(any_rank(), tmp_path / "d.npy")
    assert error.slug == "data-damaged"
    assert "d.npy" in error.message


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
def test_header_in_an_archive_that_no_array_can_have_is_refused(content: bytes, method: int, tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(archive(content, method))
    (table,) = open_npz(tmp_path / "d.npz").tables()
    error = looked_at(table)
    assert error.slug == "data-damaged"
    assert "d.npz" in error.message
    assert "'x'" in error.message


OTHER_TYPES = {
    "records": np.zeros(300, [("a", "<f4"), ("b", "<i4")]),
    "dates": np.zeros((300, 4), "M8[s]"),
    "void": np.zeros((300, 4), "V4"),
    "long text": np.zeros((300, 4), "<U50"),
    "bytes": np.zeros((300, 4), "S4"),
    "complex": np.zeros((300, 4), "c16"),
}


@pytest.mark.parametrize("array", OTHER_TYPES.values(), ids=OTHER_TYPES)
@pytest.mark.parametrize("made", [model, any_rank])
def test_types_that_no_input_takes_are_refused(array: np.ndarray, made: Callable, tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", array)
    error = refused(made(), tmp_path / "d.npy")
    assert error.slug in ("data-dtype", "data-shape")
    assert "d.npy" in error.message


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_honest_headers_are_read(order: str, dtype: str, version: tuple[int, int], tmp_path: Path) -> None:
    array = np.asarray(np.round(X * 8) / 8, dtype=dtype, order=order)  # type: ignore[call-overload]
    with (tmp_path / "d.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version=version)
    with bounded():
        found = audit(model(), tmp_path / "d.npy")
    assert list(found.sites[0].fired_samples) == (array > 0).sum(axis=0).tolist()


def test_zero_length_beside_samples_is_fed_and_alone_is_no_data(tmp_path: Path) -> None:
    body = "c = Concat <axis = 1> (past, x)\n y = Relu (c)"
    made = graph("float[n, t, 4] past, float[n, 1, 4] x", "float[n, u, 4] y", body)
    past = np.zeros((300, 0, 4), np.float32)
    assert audit(made, {"past": past, "x": X[:, None]}).data.samples == 300
    error = refused(any_size(), np.zeros((1_000_000_000, 0), np.float32))
    assert (error.slug, "[1000000000, 0]" in error.message) == ("data-empty", True)
    (tmp_path / "d.npy").write_bytes(npy(says("(1000000000, 0)"), b""))
    assert refused(any_rank(), tmp_path / "d.npy").slug == "data-empty"


def test_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.tile(X, (20, 1)))

    def shrink(progress: object) -> None:
        os.truncate(tmp_path / "d.npy", 30_000)

    error = refused(model(), tmp_path / "d.npy", batch_size=100, on_progress=shrink)
    assert error.slug == "data-damaged"


def test_file_that_is_another_when_it_is_read_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", X)
    column = npy_column(tmp_path / "d.npy")
    np.save(tmp_path / "d.npy", X.astype(np.float64))
    with pytest.raises(AuditError, match="written anew") as caught:
        next(column.blocks(4))
    assert caught.value.slug == "data-damaged"


# What is no file ----------------------------------------------------------------------------------------------------


def fifo(place: Path) -> None:
    os.mkfifo(place)


def bound_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(place))


def endless_device(place: Path) -> None:
    place.symlink_to("/dev/zero")


def loop(place: Path) -> None:
    place.symlink_to(place)


def broken(place: Path) -> None:
    place.symlink_to(place.with_name("gone"))


def folder(place: Path) -> None:
    place.mkdir()


NO_FILES = {
    "pipe": (fifo, "data-kind"),
    "socket": (bound_socket, "data-kind"),
    "device": (endless_device, "data-kind"),
    "link to itself": (loop, "data-not-found"),
    "broken link": (broken, "data-not-found"),
}


@pytest.mark.parametrize("name", ["d.npy", "d.npz", "set/1.npz", "set/1.npy", "set/x.npy", "set/input_0.pb"])
@pytest.mark.parametrize(("make", "slug"), NO_FILES.values(), ids=NO_FILES)
def test_what_is_no_file_is_not_waited_for(
    make: Callable, slug: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path may not be long
    (tmp_path / "set").mkdir()
    make(Path(name))
    error = refused(model(), name.partition("/")[0])
    assert error.slug == slug
    assert Path(name).name in error.message


@pytest.mark.parametrize("name", ["1.npz", "1.npy", "x.npy", "input_0.pb"])
def test_folder_within_a_folder_is_no_file(name: str, tmp_path: Path) -> None:
    folder(tmp_path / name)
    error = refused(model(), tmp_path)
    assert (error.slug, name in error.message) == ("data-kind", True)


@pytest.mark.skipif(os.geteuid() == 0, reason="an administrator may read everything")
@pytest.mark.parametrize("name", ["d.npy", "d.npz", "set/1.npz", "set"])
def test_what_may_not_be_read_is_refused_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    if name != "set":
        np.savez(tmp_path / "set" / "1.npz", x=X)
        (tmp_path / name).write_bytes((tmp_path / "set" / "1.npz").read_bytes())
    (tmp_path / name).chmod(0)
    try:
        error = refused(model(), tmp_path / name.partition("/")[0])
    finally:
        (tmp_path / name).chmod(0o700)
    assert (error.slug, Path(name).name in error.message) == ("data-not-found", True)


def test_names_that_are_no_utf8_are_read_and_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/od\xff")
    Path(odd).mkdir()
    for part in range(3):
        np.save(os.fsdecode(os.fsencode(odd) + b"/%d\xfe.npy" % part), X[100 * part : 100 * part + 100])
    assert audit(model(), odd).data.samples == 300
    Path(os.fsdecode(os.fsencode(odd) + b"/2\xfe.npy")).write_bytes(b"")
    onnx.save(model(), tmp_path / "m.onnx")
    assert run([str(tmp_path / "m.onnx"), "--data", odd]) == 2
    assert "2?.npy" in capfd.readouterr().err


def test_folder_of_thousands_of_files_is_linear(tmp_path: Path) -> None:
    for part in range(600):
        (tmp_path / f"{part}.npy").write_bytes(npy(says("(1, 4)"), X[part % 300].tobytes()))
    with bounded(30):
        assert audit(model(), tmp_path).data.samples == 600


# Archives -----------------------------------------------------------------------------------------------------------


def member(array: np.ndarray = X) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def archive(content: bytes = member(), method: int = zipfile.ZIP_STORED, name: str = "x.npy") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        made.writestr(name, content)
    return file.getvalue()


def twice() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("x.npy", member())
        made.writestr("y.npy", member(-X))
    return file.getvalue().replace(b"y.npy", b"x.npy")


def changed(content: bytes, at: Callable[[bytes], int], value: bytes) -> bytes:
    place = at(content)
    return content[:place] + value + content[place + len(value) :]


def local(offset: int) -> Callable[[bytes], int]:
    return lambda content: content.index(b"PK\3\4") + offset


def central(offset: int) -> Callable[[bytes], int]:
    return lambda content: content.index(b"PK\1\2") + offset


def end(offset: int) -> Callable[[bytes], int]:
    return lambda content: content.index(b"PK\5\6") + offset


def claiming(size: int) -> bytes:
    """An archive whose directory claims a member of some size, in the fields of zip64."""
    content = archive()
    place, tail = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    entry = bytearray(content[place:tail])
    entry[20:28] = b"\xff" * 8
    extra = struct.pack("<HHQQ", 1, 16, size, size)
    entry[30:32] = struct.pack("<H", len(extra))
    entry += extra
    ending = bytearray(content[tail:])
    ending[12:16] = struct.pack("<I", len(entry))
    return content[:place] + bytes(entry) + bytes(ending)


def bomb(rows: int, row: int = 4, **claims: str) -> bytes:
    """Zeros, deflated as densely as can be, of an array that claims as many."""
    header = npy(says(f"({rows}, {row})", **claims), b"")
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece, total = bytes(1 << 20), len(header) + 4 * rows * row
    packed = [squeezer.compress(header)]
    crc, left = zlib.crc32(header), 4 * rows * row
    while left:
        data = piece[: min(left, len(piece))]
        packed.append(squeezer.compress(data))
        crc, left = zlib.crc32(data, crc), left - len(data)
    body = b"".join([*packed, squeezer.flush()])
    fields = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, crc, len(body), total, 5, 0)
    entry = b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, 0) + b"x.npy"
    start = b"PK\3\4" + fields + b"x.npy" + body
    return start + entry + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(start), 0)


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "LZMA": lambda: archive(method=zipfile.ZIP_LZMA),
    "BZIP2": lambda: archive(method=zipfile.ZIP_BZIP2),
    "a bomb by BZIP2": lambda: archive(npy(says("(4000000, 4)"), bytes(64_000_000)), zipfile.ZIP_BZIP2),
    "LZMA called deflated": lambda: changed(
        changed(archive(method=zipfile.ZIP_LZMA), local(8), b"\x08\0"), central(10), b"\x08\0"
    ),
    "deflated called stored": lambda: changed(
        changed(archive(method=zipfile.ZIP_DEFLATED), local(8), b"\0\0"), central(10), b"\0\0"
    ),
    "an unknown method": lambda: changed(changed(archive(), local(8), b"\x63\0"), central(10), b"\x63\0"),
    "encrypted": lambda: changed(changed(archive(), local(6), b"\1"), central(8), b"\1"),
    "encrypted in the directory": lambda: changed(archive(), central(8), b"\1"),
    "two members of one name": twice,
    "zip64 of a tebibyte": lambda: claiming(1 << 40),
    "zip64 of all 64 bits": lambda: claiming((1 << 64) - 1),
    "a size too large": lambda: changed(archive(), central(24), struct.pack("<I", 1 << 30)),
    "sizes too large": lambda: changed(archive(), central(20), struct.pack("<II", 1 << 30, 1 << 30)),
    "a size too small": lambda: changed(archive(), central(24), struct.pack("<I", 1000)),
    "a deflated size too large": lambda: changed(
        archive(method=zipfile.ZIP_DEFLATED), central(24), struct.pack("<I", 0xFFFFFFF0)
    ),
    "a wrong checksum": lambda: changed(archive(), central(16), b"\0\0\0\0"),
    "a wrong checksum of deflated data": lambda: changed(
        archive(method=zipfile.ZIP_DEFLATED), central(16), b"\0\0\0\0"
    ),
    "a member behind the end": lambda: changed(archive(), central(42), struct.pack("<I", 0xFFFFFF00)),
    "a member within another": lambda: changed(archive(), central(42), struct.pack("<I", 200)),
    "another name in front of the member": lambda: changed(archive(), local(30), b"y"),
    "a directory of four gibibytes": lambda: changed(archive(), end(12), b"\xff\xff\xff\x7f"),
    "a directory behind the end": lambda: changed(archive(), end(16), b"\xff\xff\xff\x7f"),
    "a directory cut short": lambda: changed(archive(), end(12), b"\x08\0\0\0"),
    "a name that is no UTF-8": lambda: changed(changed(archive(), central(46), b"\xff"), central(9), b"\x08"),
    "deflated data that ends early": lambda: changed(
        archive(method=zipfile.ZIP_DEFLATED), central(20), struct.pack("<I", 500)
    ),
    "an archive within": lambda: archive(archive()),
    "an array file": member,
    "nothing": lambda: b"",
    "the end alone": lambda: b"PK\5\6" + bytes(18),
    "an array, compressed by itself": lambda: zlib.compress(member()),
    "an array as .bz2": lambda: bz2.compress(member()),
    "an array as .xz": lambda: lzma.compress(member()),
}


@pytest.mark.parametrize("content", ARCHIVES.values(), ids=ARCHIVES)
def test_archive_that_lies_is_refused(content: Callable, tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(content())
    error = refused(any_rank(), tmp_path / "d.npz")
    assert error.slug in ("data-damaged", "data-empty")
    assert "d.npz" in error.message


@pytest.mark.parametrize("name", ["../x.npy", "/etc/x.npy", "a/../../x.npy", "C:\\x.npy", "x.npy.npy"])
def test_names_of_members_are_names_and_no_paths(name: str, tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(archive(name=name))
    with bounded():
        found = audit(model(), tmp_path / "d.npz", inputs={"x": name.removesuffix(".npy")})
    assert found.data.samples == 300
    assert [one.name for one in tmp_path.iterdir()] == ["d.npz"]


@pytest.mark.parametrize(
    ("other", "content"),
    [("labels.npy", b"\x93NUMPYno"), ("labels.npy", member(np.array([object()]))), ("inner.npz", archive())],
    ids=["damaged", "pickled", "nested"],
)
def test_member_that_nobody_asks_for_does_not_matter(other: str, content: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as made:
        made.writestr(other, content)
        made.writestr("x.npy", member())
    assert audit(model(), tmp_path / "d.npz").data.samples == 300


def test_dense_zeros_are_read_a_few_rows_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(bomb(40_000, 1000))  # 160 MB in 160 kB
    wide = graph("float[n, 1000] x", "float[n, 1000] y", "y = Relu (x)")
    with bounded(30):
        assert audit(wide, tmp_path / "d.npz", near_misses=False, limit=20_000).sites[0].samples == 20_000


@pytest.mark.parametrize("shape", [(1, 5_000_000), (5_000_000, 1)], ids=["one row", "Fortran order"])
def test_dense_zeros_that_have_to_be_read_at_once_are_refused(
    shape: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MOST_AT_ONCE", 1 << 24)
    claims = {} if shape[0] == 1 else {"fortran": "True"}
    (tmp_path / "d.npz").write_bytes(bomb(*shape, **claims))  # 20 MB in 20 kB
    error = refused(any_size(), tmp_path / "d.npz")
    assert (error.slug, "at once" in error.message) == ("data-damaged", True)


@pytest.mark.parametrize("used", [1, 150])
def test_archive_of_thousands_of_members_is_opened_once(
    used: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"i{place}" for place in range(used)]
    np.savez(tmp_path / "d.npz", **dict.fromkeys(names, X[:2]), **{f"more{n}": X[:1] for n in range(3000 - used)})
    opened: list[str] = []
    parse = zipfile.ZipFile._RealGetContents  # type: ignore[attr-defined]
    monkeypatch.setattr(zipfile.ZipFile, "_RealGetContents", lambda self: (opened.append("once"), parse(self))[1])
    body = f"s = Sum ({', '.join(names)})\n y = Relu (s)"
    made = graph(", ".join(f"float[n, 4] {name}" for name in names), "float[n, 4] y", body)
    with bounded(30, 128 << 20):
        found = audit(made, tmp_path / "d.npz")
    assert list(found.sites[0].fired_samples) == (X[:2] > 0).sum(axis=0).tolist()
    assert len(opened) == 1


def test_folder_of_archives_does_not_hold_them_open(tmp_path: Path) -> None:
    for part in range(300):
        np.savez(tmp_path / f"{part}.npz", x=X[:0] if part < 250 else X[part : part + 1])
    most = 0

    def look(progress: object) -> None:
        nonlocal most
        most = max(most, len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0)

    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    assert audit(model(), tmp_path, on_progress=look).data.samples == 50
    assert most < before + 30


# ONNX test sets -----------------------------------------------------------------------------------------------------


def tensor(**fields: Any) -> bytes:
    made = numpy_helper.from_array(X, "x")
    for name, value in fields.items():
        if isinstance(value, list):
            made.ClearField(name)
            getattr(made, name).extend(value)
        else:
            setattr(made, name, value)
    return made.SerializeToString()


def outside(location: str) -> bytes:
    made = TensorProto(name="x", data_type=TensorProto.FLOAT, dims=[300, 4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", str(X.nbytes))):
        made.external_data.add(key=key, value=value)
    return made.SerializeToString()


def sequence() -> bytes:
    made = onnx.SequenceProto(name="x", elem_type=onnx.SequenceProto.TENSOR)
    made.tensor_values.append(numpy_helper.from_array(X, "x"))
    return made.SerializeToString()


def optional() -> bytes:
    made = onnx.OptionalProto(name="x", elem_type=onnx.OptionalProto.TENSOR)
    made.tensor_value.CopyFrom(numpy_helper.from_array(X, "x"))
    return made.SerializeToString()


def unequal_texts() -> bytes:
    made = TensorProto(name="x", data_type=TensorProto.STRING, dims=[100_000, 4])
    made.string_data.extend([b"a" * 1_000_000, *repeat(b"", 399_999)])
    return made.SerializeToString()


TENSORS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "noise": lambda: bytes(range(255)),
    "cut short": lambda: tensor()[:-7],
    "negative axis": lambda: tensor(dims=[-1, 4]),
    "two negative axes": lambda: tensor(dims=[-300, -4]),
    "axes that wrap": lambda: tensor(dims=[300, 4611686018427387908]),
    "axes that wrap to zero": lambda: tensor(dims=[1 << 32, 1 << 32], raw_data=b""),
    "rows far beyond the file": lambda: tensor(dims=[1 << 40, 4]),
    "fewer rows than there are": lambda: tensor(dims=[299, 4]),
    "a thousand axes": lambda: tensor(dims=[1] * 1000, raw_data=bytes(4)),
    "half a number": lambda: tensor(raw_data=bytes(4799)),
    "no type": lambda: tensor(data_type=0),
    "an unknown type": lambda: tensor(data_type=77),
    "numbers in another file": lambda: outside("weights.bin"),
    "numbers in a file of the system": lambda: outside("/etc/passwd"),
    "numbers in a folder above": lambda: outside("../../secret"),
    "a sequence": sequence,
    "an optional value": optional,
    "texts of very unequal length": unequal_texts,
    "an array file": member,
    "a whole model": lambda: model().SerializeToString(),
}


@pytest.mark.parametrize("content", TENSORS.values(), ids=TENSORS)
def test_tensor_that_lies_is_refused(content: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(X.tobytes())
    one = tmp_path / "sets" / "test_data_set_0"
    one.mkdir(parents=True)
    (one / "input_0.pb").write_bytes(content())
    error = refused(any_rank(), tmp_path / "sets")
    assert error.slug == "data-damaged"
    assert "input_0.pb" in error.message


def test_two_tensors_for_one_input_are_refused(tmp_path: Path) -> None:
    for name in ("input_0.pb", "input_00.pb"):
        (tmp_path / name).write_bytes(tensor())
    error = refused(model(), tmp_path)
    assert (error.slug, "'x'" in error.message) == ("data-name", True)


@pytest.mark.parametrize("name", ["input_\N{SUPERSCRIPT TWO}.pb", "input_\N{ARABIC-INDIC DIGIT FIVE}.pb", "input_.pb"])
def test_digits_of_other_scripts_number_no_input(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(tensor(name=""))
    with bounded():
        assert audit(model(), tmp_path).data.samples == 300


# Feeds --------------------------------------------------------------------------------------------------------------


def empty_for_ever() -> Iterator[np.ndarray]:
    return repeat(X[:0])


def empty_after(samples: int) -> Iterator[np.ndarray]:
    yield X[:samples]
    yield from repeat(X[:0])


def empty_files(place: Path) -> Path:
    for part in range(1100):
        (place / f"{part}.npy").write_bytes(npy(says("(0, 4)"), b""))
    return place


@pytest.mark.parametrize("feeds", [empty_for_ever, lambda: empty_after(3)], ids=["from the start", "after samples"])
def test_feeds_without_samples_for_ever_are_refused(feeds: Callable) -> None:
    error = refused(model(), feeds())
    assert error.slug == "data-empty"
    assert "1,000" in error.message


def test_files_without_samples_are_refused(tmp_path: Path) -> None:
    assert refused(model(), empty_files(tmp_path)).slug == "data-empty"


def test_empty_feeds_among_others_do_no_harm() -> None:
    def feeds() -> Iterator[np.ndarray]:
        for row in X[:3]:
            yield from repeat(X[:0], 900)
            yield row[None]

    with bounded(30):
        found = audit(model(), feeds())
    assert list(found.sites[0].fired_samples) == (X[:3] > 0).sum(axis=0).tolist()


def test_endless_feeds_end_at_the_limit() -> None:
    with bounded():
        assert audit(model(), (X[n % 300][None] for n in count()), limit=70).data.samples == 70


@pytest.fixture
def interruptible() -> Generator[None]:
    """A test run in the background hands down that interrupts are ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_endless_feeds_can_be_interrupted() -> None:
    def feeds() -> Iterator[np.ndarray]:
        for n in count():
            if n == 40:
                os.kill(os.getpid(), signal.SIGINT)
            yield X[n % 300][None]

    with bounded():
        found = audit(model(), feeds())
    assert found.partial
    assert 39 <= found.data.samples <= 42


@pytest.mark.parametrize(
    "number",
    [
        "0",
        "00",
        "-1",
        "+5",
        "1_000",
        " 5",
        "5 ",
        "1e3",
        "2.0",
        "",
        "\N{FULLWIDTH DIGIT FIVE}",
        "1" + "0" * 30,
        "9" * 9999,
    ],
)
def test_absurd_numbers_of_made_up_samples_are_refused(number: str) -> None:
    error = refused(model(), f"random:{number}")
    assert (error.slug, "random:" in error.message) == ("data-kind", True)


def test_made_up_numbers_do_not_fill_the_memory() -> None:
    body = "h = Transpose <perm = [1, 0]> (x)\n y = Relu (h)"
    along_second = graph("float[4096, n] x", "float[n, 4096] y", body)
    error = refused(along_second, "random:10000000", batch_axes={"x": 1})
    assert (error.slug, "'x'" in error.message) == ("data-shape", True)
    huge = graph("float[n, 1000000, 1000000] x", "float[n, 1000000, 1000000] y", "y = Relu (x)")
    assert refused(huge, "random:1").slug == "data-shape"


CHANGING = {
    "a wider type": ([X[:3], X[3:6].astype("f8")], None),
    "a whole type": ([X[:3], np.ones((2, 4), "i4")], None),
    "another rank": ([X[:3], X[3]], "data-shape"),
    "another width": ([X[:3], X[3:6, :3]], "data-shape"),
    "text": ([X[:3], np.full((2, 4), "a")], "data-dtype"),
    "complex numbers": ([X[:3], X[3:6].astype("c8")], "data-dtype"),
    "an array of none": ([X[:3], np.zeros((0, 4), "f4")], None),
    "a dict": ([X[:3], {"x": X[3:6]}], None),
    "a dict of another name": ([X[:3], {"z": X[3:6]}], "data-name"),
    "a list of two": ([X[:3], [X[3:6], X[3:6]]], "data-kind"),
    "nothing": ([X[:3], None], "data-kind"),
    "an empty dict": ([X[:3], {}], "data-name"),
    "a generator": ([X[:3], (row for row in X)], "data-kind"),
}


@pytest.mark.parametrize(("feeds", "slug"), CHANGING.values(), ids=CHANGING)
def test_feeds_that_change_are_read_right_or_refused(feeds: list[Any], slug: str | None) -> None:
    if slug is not None:
        assert refused(model(), iter(feeds)).slug == slug
        return
    rows = np.concatenate([np.asarray(one["x"] if isinstance(one, dict) else one, "f4") for one in feeds])
    assert list(audit(model(), iter(feeds)).sites[0].fired_samples) == (rows > 0).sum(axis=0).tolist()


# The given cases ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not HOSTILE.is_dir(), reason="the given cases are not here")
@pytest.mark.parametrize("made", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("name", ["shape_neg.npy", "shape_wrap.npy", "shape_empty.npy", "lzma.npz"])
def test_given_file_is_refused(name: str, made: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(made(), tmp_path / "m.onnx")
    with bounded():
        assert run([str(tmp_path / "m.onnx"), "--data", str(HOSTILE / name)]) == 2
    said = capsys.readouterr().err
    assert re.search(rf"^error: {name}.* \[data-damaged\]$", said, re.MULTILINE)
