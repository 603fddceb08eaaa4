"""The audit as one self-contained HTML page, and as a fragment for notebooks.

The page is assembled from ``templates/page.html``, which includes one template per section. What a section needs
beyond the records is computed in ``sections.py`` and ``bulbs.py``. Nothing is loaded: the style and the scripts stand
inline and are allowed by their hashes, so that the page works from disk under a policy that forbids all else.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined

from relu_audit.records import Audit
from relu_audit.report import sections
from relu_audit.report.bulbs import bulbs
from relu_audit.report.numbers import bound, count, limit, measured, percent

STYLES = ("page.css",)
"""Files of ``templates/`` that become the page's inline style sheets."""

SCRIPTS = ("sort.js", "bulbs.js", "paper.js")
"""Files of ``templates/`` that become the page's inline scripts; each of them stands alone."""


def write(audit: Audit) -> str:
    """The audit as one HTML page that needs nothing but itself. Same audit, same bytes."""
    styles = tuple(map(_asset, STYLES))
    scripts = tuple(map(_asset, SCRIPTS))
    layers = sections.layers(audit)
    page = (
        _environment()
        .get_template("page.html")
        .render(
            audit=audit,
            csp=_content_security_policy(styles, scripts),
            styles=styles,
            scripts=scripts,
            layers=layers,
            shown=sections.shown(audit),
            verdict=sections.verdict(audit, layers),
            bulbs=bulbs(audit, layers),
            evidence=sections.evidence(layers),
        )
    )
    return _printable(page)


def fragment(audit: Audit) -> str:
    """The verdict and a table of the layers, to be embedded in a notebook: no script, no ids, all style scoped."""
    layers = sections.layers(audit)
    part = (
        _environment()
        .get_template("fragment.html")
        .render(audit=audit, style=_asset("fragment.css"), layers=layers, verdict=sections.verdict(audit, layers))
    )
    return _printable(part)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("relu_audit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=count, percent=percent, limit=limit, bound=bound, measured=measured)  # pyright: ignore[reportUnknownMemberType]
    return environment


@cache
def _asset(name: str) -> str:
    return resources.files("relu_audit.report").joinpath("templates", name).read_text("utf-8")


def _content_security_policy(styles: Iterable[str], scripts: Iterable[str]) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            "style-src " + " ".join(map(_source_hash, styles)),
            "script-src " + " ".join(map(_source_hash, scripts)),
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _source_hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _printable(page: str) -> str:
    """Names may hold what no HTML document may: control characters, and halves of surrogate pairs from file names."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", page)


_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
