"""Errors that a user can fix: the message names the thing, its value and the next step."""

import errno
from collections.abc import Sequence

from synthaug.terminal import printable

# A disk, its rights, or what stands in the place of a file or folder; mended outside of the program.
_ENVIRONMENT = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP,
    errno.ENAMETOOLONG, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.ENOSPC, errno.ESTALE, errno.EMFILE,
}  # fmt: skip


class UserError(Exception):
    """Something outside the code is wrong; shown without a traceback."""

    def __str__(self) -> str:
        return printable(super().__str__())


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


def is_interruption(error: BaseException | None) -> bool:
    """Return whether Ctrl-C is what led to an error: what it interrupts may fail in its own way while it is left."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def disk_is_full(error: BaseException) -> bool:
    """Whether an error says that the disk, or the user's part of it, is full, in the words of any library."""
    number = error.errno if isinstance(error, OSError) else None
    return number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)


def is_environmental(error: BaseException) -> bool:
    """Whether an error is of a file or folder that cannot be read or written, which the user can mend."""
    return disk_is_full(error) or (isinstance(error, OSError) and bool(error.filename) and error.errno in _ENVIRONMENT)


def explain(error: BaseException) -> str:
    """Return what to tell the user of any exception: the message, and for a file that cannot be used the remedy."""
    if disk_is_full(error):
        return (
            f"The disk is full ({error}). Nothing finished is lost: free some space and run the same command again, "
            "or write elsewhere with output_dir=<folder>."
        )
    if isinstance(error, OSError) and is_environmental(error):
        return printable(
            f"{error.filename2 or error.filename} cannot be read or written ({error.strerror}): give yourself the "
            "right to it, make room for it, or name another place; then run the same command again."
        )
    return printable(str(error) or type(error).__name__)
