"""Calibration data from a function of the user's own."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from types import ModuleType

from relu_audit.errors import DataError


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


def entry_point(module: str, function: str) -> Callable[[], object]:
    """A function of the user's own, from ``module:function`` or ``file.py:function``, that quotes what it raises.

    Raises:
        DataError: ``data-not-found`` or ``data-code``.
    """
    path = Path(module)
    where = f"{module}:{function}"
    try:
        loaded: ModuleType
        if path.suffix == ".py":
            spec = importlib.util.spec_from_file_location(f"calibration_{path.stem}", path)
            if spec is None or spec.loader is None or not path.is_file():
                raise DataError(
                    f"there is no file '{module}'", slug="data-not-found", hint="Check the path's spelling."
                )
            loaded = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = loaded  # dataclasses and pickles look their module up
            with _importing_from(path.absolute().parent):
                spec.loader.exec_module(loaded)
        else:
            with _importing_from(Path.cwd()):
                loaded = importlib.import_module(module)
        found = getattr(loaded, function, None)
    except DataError:
        raise
    except (Exception, SystemExit) as error:  # the user's own module may raise anything
        raise DataError(
            f"importing {module} failed: {type(error).__name__}: {error}",
            slug="data-code",
            hint="Run it by itself first.",
        ) from error
    if not callable(found):
        raise DataError(
            f"{where}: there is no such function",
            slug="data-not-found",
            hint="It should take no arguments and yield feeds.",
        )

    def call() -> object:
        try:
            return found()
        except (Exception, SystemExit) as error:  # as above
            raise their_fault(where, error) from error

    return call


@contextlib.contextmanager
def _importing_from(folder: Path) -> Generator[None]:
    """Let modules beside the user's code be imported, as they are when it is run by itself."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def their_fault(where: str, error: BaseException) -> DataError:
    """An error of the user's own code, quoted."""
    return DataError(
        f"{where} raised {type(error).__name__}: {error}", slug="data-code", hint="Run it by itself first."
    )
