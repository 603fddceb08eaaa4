"""Calibration data from a function of the user's own."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from types import ModuleType

from relu_audit.errors import DataError
from relu_audit.guard import Guard


def named_code(data: str) -> tuple[str, str] | None:
    """The module and the function that calibration data names; None for data that runs no code.

    >>> named_code("loader.py:batches"), named_code("calib.npz"), named_code("random:256")
    (('loader.py', 'batches'), None, None)
    """
    module, colon, function = data.rpartition(":")
    return (module, function) if colon and module and function.isidentifier() else None


def source_files(module: str) -> list[Path]:
    """The files of a module that :func:`entry_point` would import, found without running any of them."""
    if Path(module).suffix == ".py":
        return [Path(module)]
    files: list[Path] = []
    beneath: Sequence[str] | None = [str(Path.cwd()), *sys.path]
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = importlib.machinery.PathFinder.find_spec(name, beneath)
        if spec is None:
            break
        files += [Path(spec.origin)] if spec.has_location and spec.origin else []
        beneath = spec.submodule_search_locations
        if beneath is None:
            break
    return files


def entry_point(module: str, function: str, theirs: Guard) -> object:
    """What a function of the user's own gives, from ``module:function`` or ``file.py:function``.

    Raises:
        DataError: ``data-not-found`` or ``data-code``.
    """
    path = Path(module)
    if path.suffix == ".py" and not path.is_file():
        raise DataError(f"there is no file '{module}'", slug="data-not-found", hint="Check the path's spelling.")
    load = _run_file if path.suffix == ".py" else _import
    found = theirs(lambda: getattr(load(module), function, None), doing=f"importing {module}")
    if not callable(found):
        raise DataError(
            f"{module}:{function}: there is no such function",
            slug="data-not-found",
            hint="It should take no arguments and yield feeds.",
        )
    return theirs(found)


def _import(module: str) -> ModuleType:
    with _importing_from(Path.cwd()):
        return importlib.import_module(module)


def _run_file(file: str) -> ModuleType:
    path = Path(file)
    spec = importlib.util.spec_from_file_location(f"calibration_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"there is nothing to import in '{file}'")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded  # dataclasses and pickles look their module up
    with _importing_from(path.absolute().parent):
        spec.loader.exec_module(loaded)
    return loaded


@contextlib.contextmanager
def _importing_from(folder: Path) -> Generator[None]:
    """Let modules beside the user's code be imported, as they are when it is run by itself."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the user's code may have removed the folder
            sys.path.remove(str(folder))
