"""What is wrong with a source, found before anything is trained on it."""

from heliostat.data.checking.report import BREAKING, Finding, FindingKind, Report
from heliostat.data.checking.scanning import check

__all__ = ["BREAKING", "Finding", "FindingKind", "Report", "check"]
