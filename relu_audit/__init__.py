"""relu-audit: find the rectifier units of an ONNX model that never fire, how sure that is, and gate on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relu_audit.version import __version__ as __version__

if TYPE_CHECKING:
    from relu_audit.api.audit import audit as audit
    from relu_audit.api.audited import Audit as Audit
    from relu_audit.api.audited import load as load
    from relu_audit.api.compared import Comparison as Comparison
    from relu_audit.api.compared import compare as compare
    from relu_audit.api.prune import prune as prune
    from relu_audit.api.pruned import Pruned as Pruned
    from relu_audit.api.sites import sites as sites
    from relu_audit.errors import AuditError as AuditError

_HOMES = {
    "Audit": "relu_audit.api.audited",
    "AuditError": "relu_audit.errors",
    "Comparison": "relu_audit.api.compared",
    "audit": "relu_audit.api.audit",
    "compare": "relu_audit.api.compared",
    "Pruned": "relu_audit.api.pruned",
    "load": "relu_audit.api.audited",
    "prune": "relu_audit.api.prune",
    "sites": "relu_audit.api.sites",
}

__all__ = ["Audit", "AuditError", "Comparison", "Pruned", "__version__", "audit", "compare", "load", "prune", "sites"]


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that importing the package costs next to nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'relu_audit' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
