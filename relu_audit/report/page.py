"""What HTML pages are made with: templates that escape, inline style and scripts, a policy that allows just those."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined

from relu_audit.report.names import clipped
from relu_audit.report.numbers import about, bound, count, limit, measured, percent, whole_above, whole_below

_FILTERS = {
    one.__name__: one for one in (about, bound, clipped, count, limit, measured, percent, whole_above, whole_below)
}


@cache
def environment() -> Environment:
    """The templates, and how numbers are written in them."""
    made = Environment(
        loader=PackageLoader("relu_audit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(_FILTERS)  # pyright: ignore[reportUnknownMemberType]
    return made


@cache
def asset(name: str) -> str:
    """A file of ``templates/`` as it stands."""
    return resources.files("relu_audit.report").joinpath("templates", name).read_text("utf-8")


def content_security_policy(styles: Iterable[str], scripts: Iterable[str]) -> str:
    """Nothing but these styles and scripts."""
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


def render(template: str, styles: Iterable[str], scripts: Iterable[str], **said: object) -> str:
    """A page that needs nothing but itself.

    Args:
        template: The page, which extends ``base.html``.
        styles: Files of ``templates/`` that become its inline style sheets.
        scripts: Files of ``templates/`` that become its inline scripts; each of them stands alone.
        said: What the template reads.
    """
    styles, scripts = tuple(map(asset, styles)), tuple(map(asset, scripts))
    policy = content_security_policy(styles, scripts)
    made = environment().get_template(template)
    return printable(made.render(**said, csp=policy, styles=styles, scripts=scripts))


def printable(page: str) -> str:
    """The page without what names may hold and no page may show.

    Control characters, and halves of surrogate pairs from file names, may not stand in an HTML document. Codes that
    turn the direction of text, or end its line, may, but would let a name pass for another: they are written out.
    """
    return _TURNING.sub(_written_out, _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", page))


def _written_out(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

_TURNING = re.compile("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
