"""The records that every room speaks: frozen, keyword-only, arrays over units, counts and never percentages.

Everything that can be computed from other fields is a property. Fractions are 0 to 1.
"""

from relu_audit.records.audit import SCHEMA, Audit, Summary
from relu_audit.records.base import Record, share
from relu_audit.records.gate import (
    Against,
    Baseline,
    BaselineSite,
    Breach,
    Gate,
    LayerLimit,
    Outcome,
    Policy,
    Waived,
    Waiver,
)
from relu_audit.records.run import DataInfo, ExternalFile, InputInfo, ModelInfo, RuntimeInfo
from relu_audit.records.sites import (
    LISTING_SCHEMA,
    STATUSES,
    Alive,
    ListedSite,
    Listing,
    Place,
    Site,
    SiteAudit,
    Skipped,
    Status,
)

__all__ = [
    "LISTING_SCHEMA",
    "SCHEMA",
    "STATUSES",
    "Against",
    "Alive",
    "Audit",
    "Baseline",
    "BaselineSite",
    "Breach",
    "DataInfo",
    "ExternalFile",
    "Gate",
    "InputInfo",
    "LayerLimit",
    "ListedSite",
    "Listing",
    "ModelInfo",
    "Outcome",
    "Place",
    "Policy",
    "Record",
    "RuntimeInfo",
    "Site",
    "SiteAudit",
    "Skipped",
    "Status",
    "Summary",
    "Waived",
    "Waiver",
    "share",
]
