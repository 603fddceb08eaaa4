"""What holds for every test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

_STATES: dict[str, Mapping[str, Any]] = {}


@pytest.fixture(autouse=True)
def numbers_of_its_own(request: pytest.FixtureRequest) -> None:
    """A module's ``RNG`` begins anew with every test: what a test draws does not depend on which ran before it."""
    rng = getattr(request.module, "RNG", None)
    if isinstance(rng, np.random.Generator):
        generator = rng.bit_generator
        generator.state = _STATES.setdefault(request.module.__name__, generator.state)
