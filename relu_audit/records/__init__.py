"""The records that every room speaks: frozen, keyword-only, arrays over units, counts and never percentages.

Everything that can be computed from other fields is a property. Fractions are 0 to 1.
"""

from relu_audit.records.audit import SCHEMA, Audit, Summary
from relu_audit.records.base import Record, as_text, share
from relu_audit.records.causes import CAUSES, Causes
from relu_audit.records.comparison import COMPARISON_SCHEMA, Change, Comparison, LayerChange, Side, Unmatched
from relu_audit.records.costs import Cost, Prospect, Tied
from relu_audit.records.gate import (
    GATE_RULES,
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
from relu_audit.records.matching import Means, Renamed
from relu_audit.records.run import ConfigurationInfo, DataInfo, ExternalFile, InputInfo, Known, ModelInfo, RuntimeInfo
from relu_audit.records.sites import (
    LISTING_SCHEMA,
    STATUSES,
    Alive,
    ListedInput,
    ListedSite,
    Listing,
    Place,
    Site,
    SiteAudit,
    Skipped,
    Status,
)

__all__ = [
    "CAUSES",
    "COMPARISON_SCHEMA",
    "GATE_RULES",
    "LISTING_SCHEMA",
    "SCHEMA",
    "STATUSES",
    "Against",
    "Alive",
    "Audit",
    "Baseline",
    "BaselineSite",
    "Breach",
    "Causes",
    "Change",
    "Comparison",
    "ConfigurationInfo",
    "Cost",
    "DataInfo",
    "ExternalFile",
    "Gate",
    "InputInfo",
    "Known",
    "LayerChange",
    "LayerLimit",
    "ListedInput",
    "ListedSite",
    "Listing",
    "Means",
    "ModelInfo",
    "Outcome",
    "Place",
    "Policy",
    "Prospect",
    "Record",
    "Renamed",
    "RuntimeInfo",
    "Side",
    "Site",
    "SiteAudit",
    "Skipped",
    "Status",
    "Summary",
    "Tied",
    "Unmatched",
    "Waived",
    "Waiver",
    "as_text",
    "share",
]
