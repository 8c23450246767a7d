"""What further test sets say, and how sure the arms are."""

from collections.abc import Mapping
from typing import Any

from synthaug.analysis.comparison.model import Comparison, Group
from synthaug.analysis.findings import Findings
from synthaug.analysis.text import robustness_text


def robustness(comparison: Comparison, group: Group, said: Findings) -> Mapping[str, Any] | None:
    """Everything that was judged on test sets beside the runs' own."""
    found = said.robustness
    return {"blocks": robustness_text.document(found)[1:]} if found else None  # the section has its heading
