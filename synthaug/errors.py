"""Errors a user can mend: the message names the thing, its value and the next step."""

from collections.abc import Sequence


class UserError(Exception):
    """Something outside the code is wrong; shown without a traceback."""


def raise_all(headline: str, problems: Sequence[str]) -> None:
    """Raise one `UserError` that lists every problem; do nothing where there is none."""
    if problems:
        raise UserError("\n".join([headline, *(f"  - {problem}" for problem in problems)]))
