"""Calibration data from a function of the user's own."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Generator
from pathlib import Path
from types import ModuleType

from relu_audit.errors import DataError
from relu_audit.guard import Guard


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
