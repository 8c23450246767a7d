"""Render the audit of a published table."""

from synthaug.analysis.audit.reanalysis import MOST_SIZE, Audit
from synthaug.analysis.inference.intervals import ALPHA
from synthaug.analysis.text.document import Block
from synthaug.analysis.text.templating import Template

_TEMPLATE = Template("audit", alpha=ALPHA, most_size=MOST_SIZE)


def document(audit: Audit) -> list[Block]:
    """Render the whole audit."""
    return _TEMPLATE.document("document", audit)
