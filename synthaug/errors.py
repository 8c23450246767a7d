"""Errors that a user can fix: the message names the thing, its value and the next step."""

import errno
from collections.abc import Sequence


class UserError(Exception):
    """Something outside the code is wrong; shown without a traceback."""


def raise_all(headline: str, problems: Sequence[str]) -> None:
    """Raise one `UserError` that lists every problem; do nothing where there is none.

    Args:
        headline: the first line.
        problems: one bullet each; bullets inside of them are indented further.
    """
    if problems:
        indented = [problem.replace("\n  - ", "\n    - ") for problem in problems]
        raise UserError("\n".join([headline, *(f"  - {problem}" for problem in indented)]))


def underlying(error: Exception) -> Exception:
    """Return the `UserError` that a library wrapped, as `instantiate` does, or the error itself."""
    return error.__cause__ if isinstance(error.__cause__, UserError) else error


def disk_is_full(error: BaseException) -> bool:
    """Whether an error says that the disk is full, in the words of any library."""
    return (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "No space left" in str(error)


def explain(error: BaseException) -> str:
    """Return what to tell the user of any exception: the message, and for a full disk the remedy."""
    if disk_is_full(error):
        return (
            f"The disk is full ({error}). Nothing finished is lost: free some space and run the same command again, "
            "or write elsewhere with output_dir=<folder>."
        )
    return str(error) or type(error).__name__
