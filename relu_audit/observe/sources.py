"""THE TABLE of sources of calibration data that a text names: how each kind is recognised, opened and read.

The help of ``--data`` and the messages about texts that name nothing are made from the rows, so a new source is a row.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from relu_audit.errors import DataError
from relu_audit.observe.archives import open_npz
from relu_audit.observe.columns import Source
from relu_audit.observe.entry_points import named_code, source_files
from relu_audit.observe.folders import ENDINGS, open_folder, sets_of
from relu_audit.observe.noise import open_noise
from relu_audit.observe.stored import open_npy
from relu_audit.observe.tables import open_code
from relu_audit.units.inputs import GraphInput

Inputs = Sequence[GraphInput]


def _no_file(text: str) -> Iterator[Path]:
    del text
    return iter(())


def _no_folder(text: str, file: Path) -> bool:
    del text, file
    return False


@dataclass(frozen=True)
class Kind:
    """One kind of source.

    Attributes:
        name: How help and messages name it.
        holds: Whether a text names one; of several that do, the first counts.
        opens: Opens it, for a model of these inputs.
        files: The files that it is known to be read from, told without reading them and without running code. What a
            user's own function reads is not known.
        gathers: Whether a file, links followed, would be a part of it once it is there.
        runs_code: Whether code of the user's own is run.
    """

    name: str
    holds: Callable[[str], bool]
    opens: Callable[[str, Inputs], Source]
    files: Callable[[str], Iterator[Path]] = _no_file
    gathers: Callable[[str, Path], bool] = _no_folder
    runs_code: bool = False


# Rows -----------------------------------------------------------------------------------------------------------------


def _is_folder(text: str) -> bool:
    return os.path.isdir(text)  # noqa: PTH112 - unlike Path.is_dir, it takes any text


def _names(inputs: Inputs) -> tuple[str, ...]:
    return tuple(one.name for one in inputs)


def _in_folder(text: str) -> Iterator[Path]:
    path = Path(text)
    for folder in (path, *sets_of(path)):
        yield from (file for file in folder.iterdir() if file.name.endswith(ENDINGS))


def _gathers(text: str, file: Path) -> bool:
    path = Path(text)
    return file.name.endswith(ENDINGS) and any(file.parent == one.resolve() for one in (path, *sets_of(path)))


def _file(ending: str, opens: Callable[[Path], Source]) -> Kind:
    return Kind(
        name=ending,
        holds=lambda text: Path(text).suffix == ending and not _is_folder(text),
        opens=lambda text, _: opens(Path(text)),
        files=lambda text: iter((Path(text),)),
    )


def _of_module(text: str) -> Iterator[Path]:
    yield Path(text)
    named = named_code(text)
    if named is not None:
        yield from source_files(named[0])


KINDS = (
    _file(".npz", open_npz),
    _file(".npy", open_npy),
    Kind(
        name="a folder of them or of ONNX test sets",
        holds=_is_folder,
        opens=lambda text, inputs: open_folder(Path(text), _names(inputs)),
        files=_in_folder,
        gathers=_gathers,
    ),
    Kind("random:N", holds=lambda text: text.startswith("random:"), opens=open_noise),
    Kind(
        name="a function (module:function or file.py:function)",
        holds=lambda text: named_code(text) is not None,
        opens=lambda text, inputs: open_code(text, _names(inputs)),
        files=_of_module,
        runs_code=True,
    ),
)


# The engine -----------------------------------------------------------------------------------------------------------


def kind_of(text: str) -> Kind | None:
    """The kind of source that a text names."""
    return next((kind for kind in KINDS if kind.holds(text)), None)


def listed() -> str:
    """All kinds of sources, as the help of an option lists them."""
    *most, last = (kind.name for kind in KINDS)
    return f"{', '.join(most)}, or {last}"


def open_text(text: str, inputs: Inputs) -> Source:
    """Open the source that a text names.

    Args:
        text: A path, ``module:function``, ``file.py:function`` or ``random:N``.
        inputs: The model's inputs, in order.

    Raises:
        DataError: ``data-not-found``, ``data-kind``, ``data-empty``, ``data-damaged``, ``data-pickled``, ``data-code``.
    """
    _refuse_unreadable(text)
    kind = kind_of(text)
    return _refuse(text) if kind is None else kind.opens(text, inputs)


def _refuse_unreadable(text: str) -> None:
    try:
        Path(text).stat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        if ":" not in text:
            raise DataError(
                f"'{text[:100]}' cannot be read: {error}", slug="data-not-found", hint="Check the path's spelling."
            ) from error


def _refuse(text: str) -> NoReturn:
    hint = f"Give {listed()}."
    if Path(text).exists():
        what = f"'{Path(text).name}' is of a kind that cannot be read as calibration data"
        raise DataError(what, slug="data-kind", hint=hint)
    raise DataError(f"there is no calibration data '{text}'", slug="data-not-found", hint=hint)


def files(text: str) -> Iterator[Path]:
    """The files that are known to be read for the calibration data that a text names."""
    kind = kind_of(text)
    yield from (Path(text),) if kind is None else kind.files(text)


def gathers(text: str, file: Path) -> bool:
    """Whether a file, links followed, would be calibration data once it is there."""
    kind = kind_of(text)
    return kind is not None and kind.gathers(text, file)


def runs_code(text: str) -> bool:
    """Whether a text may name a function that is run, whatever else it may name."""
    return any(kind.runs_code and kind.holds(text) for kind in KINDS)
