"""Limits as text, from the command line and by environment: what the documentation says, or exit code 2, at once."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from relu_audit import AuditError, audit, load
from relu_audit.cli import run
from relu_audit.cli.options import Axis, SampleAxis, Share, Shares, Whole
from tests.graphs import mlp

X = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)

MEANT = {
    # text: the fraction that it is
    "5%": Fraction(5, 100),
    "0.05": Fraction(5, 100),
    "+5%": Fraction(5, 100),
    "+0.05": Fraction(5, 100),
    " 5% ": Fraction(5, 100),
    "5 %": Fraction(5, 100),
    "05%": Fraction(5, 100),
    "5.%": Fraction(5, 100),
    ".05": Fraction(5, 100),
    "0.05000": Fraction(5, 100),
    "5e-2": Fraction(5, 100),
    "5E0%": Fraction(5, 100),
    "0.7%": Fraction(7, 1000),
    "33.3333333333333333%": Fraction("0.333333333333333333"),
    "0": Fraction(0),
    "-0": Fraction(0),
    "-0.0%": Fraction(0),
    "0e999999999": Fraction(0),
    "1e-9999999": Fraction(0),
    "1e-9999999%": Fraction(0),
    "1e-999999999": Fraction(0),
    "1": Fraction(1),
    "1.0": Fraction(1),
    "100%": Fraction(1),
    "1e0": Fraction(1),
    "1e2%": Fraction(1),
    "0" * 90 + "1": Fraction(1),
}

NO_SHARES = (
    *("", " ", "\t", "\n", "%", "%%", " % ", "5%%", "%5", "5%5", "5 5", "5 %%", "5%,", "5,0%", "0,05", "five", "None"),
    *("nan", "NaN", "-nan", "nan%", "snan", "nan123", "inf", "+inf", "-inf", "inf%", "Infinity", "1e400", "1e400%"),
    *("1e9999999", "1e9999999%", "1e999999999", "1e9999999999", "1e99999999999999999999", "-1e9999999", "1e", "e5"),
    *("1e5e5", "1e+", "1e-", "1e1.5", "2", "5", "1.0000001", "101%", "100.0001%", "-5%", "-0.05", "-1e-300", "1/0"),
    *("1/2", "5/100", "0.1.2", "..1", ".", "+", "-", "+-5%", "--5", "0x10", "0x1p-3", "0b1", "0o7", "1_000", "0_1"),
    *("0.0_5", "5_0%", "1e1_0", "\N{FULLWIDTH DIGIT FIVE}%", "\N{ARABIC-INDIC DIGIT FIVE}\N{ARABIC PERCENT SIGN}"),
    *(
        "\N{ARABIC-INDIC DIGIT FIVE}%",
        "0.\N{DEVANAGARI DIGIT FIVE}",
        "\N{SUPERSCRIPT TWO}%",
        "5\N{FULLWIDTH PERCENT SIGN}",
    ),
    *("5\N{PER MILLE SIGN}", "\N{VULGAR FRACTION ONE HALF}", "\N{MINUS SIGN}0", "5\N{NO-BREAK SPACE}%5", "5\0", "5%\0"),
    *("\N{ZERO WIDTH SPACE}5%", "5\N{RIGHT-TO-LEFT MARK}%", "true", "[]", "{}", "'5%'", '"5%"', "5%;", "5%#", "$5"),
    *("9" * 1000, "0." + "0" * 100_000, "1" * 1_000_000, "0.5" + "0" * 1_000_000 + "%", "1e" + "9" * 5000),
    *("(" * 1000, "5" + "%" * 1000, "##vso[task]", "::error::x", "\x1b[31m5%"),
)

NO_NUMBERS = (
    *("", " ", "five", "5.0", "5.5", "5%", "1e3", "1e9999999", "nan", "inf", "-inf", "0x10", "0b1", "1_000", "1,000"),
    *(
        "1 000",
        "+-5",
        "5-",
        "--5",
        "5/1",
        "\N{FULLWIDTH DIGIT FIVE}",
        "\N{ARABIC-INDIC DIGIT FIVE}",
        "\N{SUPERSCRIPT TWO}",
    ),
    *("\N{ROMAN NUMERAL FIVE}", "None", "true", "[5]", "5\0", "1" * 16, "9" * 5000, "1" * 1_000_000, "0" * 1_000_000),
)


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    start = time.perf_counter()
    yield
    assert time.perf_counter() - start < 2


def refused(kind: Any, text: str) -> str:
    from click import BadParameter

    start = time.perf_counter()
    with pytest.raises(BadParameter) as caught:
        kind.convert(text, None, None)
    assert time.perf_counter() - start < 0.1
    assert len(caught.value.format_message()) < 300
    return caught.value.format_message()


@pytest.mark.parametrize(("text", "fraction"), MEANT.items(), ids=[ascii(text)[:30] for text in MEANT])
def test_share_is_the_nearest_float_of_what_is_written(text: str, fraction: Fraction) -> None:
    found = Share().convert(text, None, None)
    assert found == float(fraction)
    assert math.copysign(1, found) == 1


@pytest.mark.parametrize("text", NO_SHARES, ids=[ascii(text)[:30] for text in NO_SHARES])
def test_what_is_no_share_is_refused(text: str) -> None:
    assert "write 5% or 0.05" in refused(Share(), text)
    refused(Shares(), f"{text},-1")


def test_shares_are_a_few(tmp_path: Path) -> None:
    assert Shares().convert("50,30", None, None) == (0.5, 0.3)
    assert "at most 20" in refused(Shares(), "5%," * 40_000)


@pytest.mark.parametrize("text", NO_NUMBERS, ids=[ascii(text)[:30] for text in NO_NUMBERS])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    assert "no whole number" in refused(Whole(min=0), text)
    refused(Axis(), f"x={text}")
    refused(SampleAxis(), f"x={text}" if text != "None" else "x=no")


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("+5", 5), (" 5 ", 5), ("9" * 15, 10**15 - 1)])
def test_whole_number_is_what_is_written(text: str, number: int) -> None:
    assert Whole(min=0).convert(text, None, None) == number


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    onnx.save(mlp((4, 6, 3)), "m.onnx")
    np.savez("d.npz", x=X)
    return tmp_path


OPTIONS = (
    *("--max-dead", "--max-dead-layer", "--max-rare", "--rare-below", "--bands"),
    *("--min-samples", "--allow-faulty", "--limit", "--batch-size", "--threads"),
)
ODD = ("nan", "1e9999999", "0x10", "1_0", "-5", "5%%", "\N{FULLWIDTH DIGIT FIVE}", "9" * 5000)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("text", ODD, ids=[ascii(text)[:20] for text in ODD])
def test_odd_text_is_refused_from_everywhere(
    option: str, text: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["m.onnx", "--data", "d.npz", f"{option}={text}"]) == 2
    by_hand = capsys.readouterr().err
    monkeypatch.setenv("RELU_AUDIT_" + option[2:].upper().replace("-", "_"), text)
    assert run(["m.onnx", "--data", "d.npz"]) == 2
    by_environment = capsys.readouterr().err
    for said in (by_hand, by_environment):
        assert option in said
        assert "Traceback" not in said
        assert len(said) < 1000


@pytest.mark.parametrize("option", ["--min-samples", "--allow-faulty", "--limit", "--batch-size"])
def test_largest_number_is_taken_and_written(option: str, here: Path) -> None:
    assert run(["m.onnx", "--data", "d.npz", "--max-dead=100%", f"{option}={'9' * 15}", "--json", "a.json"]) in (0, 3)
    assert load("a.json").data.samples == 300


LIBRARY = {
    "min_samples": (0, -1, 1.5, math.nan, math.inf, True, "5", 10**16, 10**400, 10**5000),
    "allow_faulty": (-1, 0.5, math.nan, True, 10**400),
    "limit": (0, -1, 1.5, math.nan, True, 10**400),
    "batch_size": (0, 2.5, math.inf, True, 10**400),
    "threads": (-1, 0.5, True),
    "max_dead": (-0.1, 1.1, 5, math.nan, math.inf, -math.inf, True, "5%", 10**400, Fraction(1, 2)),
    "max_dead_layer": (math.nan, 2, True),
    "max_rare": (math.nan, 2, True),
    "rare_below": (math.nan, 2, True),
}


BEYOND = [(name, value) for name, values in LIBRARY.items() for value in values]


@pytest.mark.parametrize(("name", "value"), BEYOND, ids=range(len(BEYOND)))
def test_library_refuses_the_same(name: str, value: Any) -> None:
    with pytest.raises(AuditError) as caught:
        audit(mlp((4, 6, 3)), X, **{name: value})
    assert caught.value.slug == "option-range"
    assert name in caught.value.message
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("bands", [(math.nan,), (0.5, 2), (True,), ("5%",)])
def test_library_refuses_bands_that_are_no_shares(bands: Any) -> None:
    with pytest.raises(AuditError) as caught:
        audit(mlp((4, 6, 3)), X, bands=bands)
    assert caught.value.slug == "option-range"
