"""Mutations of what is no model: arrays and their files, loaders, configuration, saved audits, options."""

from __future__ import annotations

import io
import json
import zipfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzzing.fields import INTEGERS, NAMES, damaged

ROOT = Path(__file__).parents[2]

DTYPES = ("f2", "f4", "f8", "i1", "i8", "u2", "?", "c8", "S3", "U2", "M8[s]", "m8[D]", "V4", "O", ">f4", "f4,i4")

HEADERS = (
    *("(-1, 4)", "(0, 4)", "(4611686018427387904, 4)", "(1,) * 3", "(1, " * 3, "(True, 4)", "()", "(20,)", "(3, 0)"),
    *(str((1,) * 70), "(2.5, 4)", "None", "(20, 4", "(18446744073709551615,)", "(20, 4, 1, 1)", "[20, 4]"),
)


def array(given: np.ndarray, rng: Random) -> np.ndarray:
    """An array of another shape, type or content."""
    way = rng.randrange(7)
    if way == 0:
        shape = rng.choice(((0, *given.shape[1:]), given.shape[:-1], given.shape[::-1], (1, *given.shape), (), (3, 0)))
        return np.resize(given, shape)
    if way == 1:
        kind = rng.choice(DTYPES)
        try:
            return np.zeros(given.shape, kind) if rng.random() < 0.5 else given.astype(kind)
        except (ValueError, TypeError):
            return np.zeros(given.shape, kind)
    changed = given.copy()
    if way == 2 and given.size and given.dtype.kind == "f":
        changed.flat[rng.randrange(given.size)] = rng.choice((np.nan, np.inf, -np.inf, 3e38, 1e-45))
    elif way == 3:
        changed = np.repeat(given[:1], len(given), axis=0)
    elif way == 4:
        changed = given[: rng.randrange(4)]
    elif way == 5:
        changed = np.asfortranarray(given)
    return changed


def _plain(given: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, given, allow_pickle=given.dtype.hasobject)
    return file.getvalue()


def npy(given: np.ndarray, rng: Random) -> bytes:
    """A file of an array: its header lies, perhaps, or its bytes do."""
    data = _plain(given)
    way = rng.randrange(4)
    if way == 0:
        return data
    if way == 1:
        return damaged(data, rng)
    header = repr({"descr": given.dtype.str, "fortran_order": False, "shape": given.shape})
    if way == 2:
        header = header.replace(repr(given.shape), rng.choice(HEADERS))
    else:
        kind = rng.choice((*DTYPES, "x9", "", "f4" * 99, "|V0", "|S0", "<U0"))
        header = header.replace(repr(given.dtype.str), repr(kind))
    body = data[data.index(b"\n") + 1 :]
    padded = header.encode() + b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    version = rng.choice((b"\x01\x00", b"\x01\x00", b"\x03\x00", b"\x09\x09"))
    return b"\x93NUMPY" + version + len(padded).to_bytes(2, "little") + padded + body


def npz(given: dict[str, np.ndarray], rng: Random) -> bytes:
    """An archive whose members, or whose own bytes, are not what they were."""
    file = io.BytesIO()
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in given.items():
            name = f"{name}.npy" if rng.random() < 0.9 else rng.choice(NAMES).replace("\x00", "") or "no name"
            content = array(content, rng) if rng.random() < 0.5 else content
            archive.writestr(name, npy(content, rng) if rng.random() < 0.5 else _plain(content))
        if rng.random() < 0.1:
            archive.writestr(rng.choice(("../x.npy", "sub/x.npy", "x.txt", "x.npy/")), b"text")
    data = file.getvalue()
    return damaged(data, rng) if rng.random() < 0.2 else data


LOADERS = (
    "import numpy as np\ndef feeds():\n    for i in range(3):\n        yield {BODY}\n",
    "import numpy as np\ndef feeds():\n    return {BODY}\n",
    "import numpy as np\nclass feeds:\n    def __iter__(self):\n        yield {BODY}\n        raise {ERROR}\n",
    "import numpy as np\ndef feeds():\n    yield {BODY}\n    raise {ERROR}\n",
    "raise {ERROR}\n",
    "feeds = {BODY}\n",
    "def feeds(:\n",
    "import numpy as np\nprint('noise')\ndef feeds():\n    print('noise')\n    yield {BODY}\n",
)
BODIES = (
    *("{'x': np.ones((2, 4), 'f4')}", "np.ones((2, 4), 'f4')", "{'x': np.ones((4,), 'f4')}", "{}", "None", "()", "3"),
    *("{'x': [[1, 2, 3, 4]]}", "(np.ones((2, 4), 'f4'), 1)", "{'x': np.ones((2, 4), 'f4'), 'z': 1}", "'x'", "[]"),
    *("{1: np.ones((2, 4))}", "{'x': np.full((2, 4), np.nan, 'f4')}", "{'x': np.ones((0, 4), 'f4')}", "{'x': None}"),
    "{'x': np.array([['a'] * 4])}",
)
ERRORS = ("ValueError('broken')", "KeyError('x')", "StopIteration", "MemoryError", "OSError(5, 'x')", "RecursionError")


def loader(rng: Random) -> str:
    """Code of a user's own; some of it is at odds with itself."""
    return rng.choice(LOADERS).replace("{BODY}", rng.choice(BODIES)).replace("{ERROR}", rng.choice(ERRORS))


SETTINGS = (
    *("max-dead", "max-dead-layer", "max-rare", "allow-faulty", "require-observed", "min-samples", "rare-below"),
    *("bands", "limit", "batch-size", "batch-axis", "unit-axis", "input", "samples", "near-misses", "costs", "align"),
    *("threads", "provider", "quiet", "verbose", "exit-zero", "layers", "waivers", "operators", "spare", "nonsense"),
)
VALUES = (
    *("5%", "-1", "1e999", "nan", "inf", "0.5", "200%", "", "x=0", "x=none", "r0=1", "x=x", "cpu", "rows", "feeds"),
    *("1e9999999", "9" * 400, "50,30", "²", "\u0661", "0x10", "1_000", "None", "r0", "*", "[", "\x00", "2027-01-31"),
)

FITTING: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("max-dead", "max-dead-layer", "max-rare", "rare-below"), ("5%", "0.5", 0, 1, 0.25)),
    **dict.fromkeys(("allow-faulty", "threads"), (0, 1, "2")),
    **dict.fromkeys(("min-samples", "limit", "batch-size", "align"), (1, 3, "8")),
    **dict.fromkeys(("require-observed", "near-misses", "costs", "quiet", "verbose", "exit-zero"), (True, False)),
    "bands": ("50,30", [0.5, 0.1]),
    "samples": ("rows", "feeds"),
    "provider": ("cpu", "CPU"),
    "batch-axis": ("x=0", "x=none"),
    "unit-axis": ("r0=1", "r0=0"),
    "input": ("x=x",),
    "spare": ("r0", ["r1"]),
}
"""Values that suit, by setting."""


def toml(rng: Random) -> bytes:
    """A configuration of settings with values that suit them or not."""
    lines: list[str] = []
    for _ in range(rng.randrange(1, 4)):
        key = rng.choice(SETTINGS)
        fits = key in FITTING and rng.random() < 0.7
        lines.append(f"{key} = {json.dumps(rng.choice(FITTING[key])) if fits else _toml_value(rng)}")
    tables = (
        f'[layers]\n"{rng.choice(("*", "r0", "/x", "["))}" = {{ max-dead-layer = {_toml_value(rng)} }}',
        f'[[waivers]]\npattern = "{rng.choice(("r0", "*"))}"\nreason = {_toml_value(rng)}\nuntil = {_toml_value(rng)}',
        f'[[operators]]\ndomain = "own"\nop = "Op"\nsignature = {_toml_value(rng)}',
        "[tool.relu-audit]\nquiet = true",
    )
    text = "\n".join([*lines, *([rng.choice(tables)] if rng.random() < 0.4 else [])])
    return damaged(text.encode(), rng) if rng.random() < 0.2 else text.encode()


def _toml_value(rng: Random) -> str:
    plain = json.dumps(rng.choice(VALUES))
    ways = (plain, plain, "true", "5", "-3.5", "nan", "inf", "[]", f"[{plain}]", f"{{ x = {plain} }}", "1979-05-27")
    return rng.choice((*ways, "9223372036854775808", "[" * 40 + "]" * 40, "'n c -> n c'", "'a b, b c -> a c'"))


def options(rng: Random) -> list[str]:
    """Options with values that suit them or not."""
    given: list[str] = []
    for _ in range(rng.randrange(1, 4)):
        key = rng.choice(SETTINGS[:20])
        switch = key in ("require-observed", "near-misses", "costs", "quiet", "verbose", "exit-zero")
        value = rng.choice(FITTING[key] if key in FITTING and rng.random() < 0.6 else VALUES)
        given += [f"--{key}"] if switch else [f"--{key}", str(value).replace("\x00", "")]
    return given


@cache
def audits() -> tuple[Any, ...]:
    """Saved audits, small enough to be changed often."""
    return tuple(json.loads((ROOT / f"reports/{name}.json").read_text()) for name in ("resnet_dead", "mlp_healthy"))


def audit(rng: Random) -> bytes:
    """A saved audit in which something is not what it was."""
    found = json.loads(json.dumps(rng.choice(audits())))
    if rng.random() < 0.4:  # what nothing follows from
        site = rng.choice(found["sites"])
        site["tensor"] = rng.choice(NAMES)
        site["tensors"] = [site["tensor"]]
        found["model"]["name"] = found["data"]["source"] = found["model"]["producer"] = rng.choice(NAMES)
        found["notes"] = [rng.choice(NAMES)]
        return json.dumps(found).encode()
    for _ in range(rng.choice((1, 1, 2, 4))):
        _change(found, rng)
    data = json.dumps(found).encode()
    return damaged(data, rng) if rng.random() < 0.15 else data


def _change(node: Any, rng: Random) -> None:
    """Change what stands somewhere in JSON."""
    while True:
        keys = [*node] if isinstance(node, dict) else [*range(len(node))]
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(node[key], dict | list) and node[key] and rng.random() < 0.85:
            node = node[key]
            continue
        way = rng.randrange(6)
        if way == 0:
            del node[key]
        elif way == 1 and isinstance(node, list):
            node.insert(key, node[rng.choice(keys)])
        elif way == 2 and isinstance(node, dict):
            node[rng.choice(NAMES)] = node[key]
        else:
            node[key] = _json_value(node[key], rng)
        return


def _json_value(old: Any, rng: Random) -> Any:
    if isinstance(old, int | float) and not isinstance(old, bool) and rng.random() < 0.7:
        return rng.choice((*INTEGERS, old + 1, old - 1, 0.5, 1e308, -1e-320, float("nan"), float("inf")))
    deep: Any = []
    for _ in range(rng.choice((1, 50, 900))):
        deep = [deep]
    return rng.choice((None, True, "", rng.choice(NAMES), 0, -1, [], {}, deep, [old, old], 10**40))
