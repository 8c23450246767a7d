"""Errors that a user can fix: the message names the thing, its value and the next step."""

import errno
from collections.abc import Sequence

from synthaug.terminal import printable

# A disk, its rights, or what stands in the place of a file or folder; mended outside of the program.
_ENVIRONMENT = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP,
    errno.ENAMETOOLONG, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.ENOSPC, errno.ESTALE, errno.EMFILE, errno.ENFILE,
    errno.ENOTEMPTY, errno.EBUSY, errno.ETXTBSY, errno.ENODEV, errno.ENXIO,
}  # fmt: skip
OUTPUT_DIR = "output_dir=<folder>"  # the option of commands that have a configuration
_HARDWARE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE}  # whatever a program does
# Limits of the system, whichever file they are met at → what raises them.
_LIMITS = {
    errno.EFBIG: "A file would be larger than it may be{name} ({reason}): raise the limit (ulimit -f unlimited); "
    "then run the same command again.",
    errno.EMFILE: "More files are open than may be{name} ({reason}): raise the limit (ulimit -n 4096), or lower "
    "parallel and num_workers; then run the same command again.",
    errno.ENFILE: "The system has more files open than it can{name} ({reason}): end other programs, then run the same "
    "command again.",
}


class UserError(Exception):
    """Something outside the code is wrong; shown without a traceback.

    Attributes:
        exit_code: of a command that it ends: the command or the configuration is wrong.
    """

    exit_code = 2

    def __str__(self) -> str:
        return printable(super().__str__())


class ProcessEndedError(UserError):
    """The system has ended a process of the command, whose configuration is not to blame."""

    exit_code = 1


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
    """Return the `UserError` that a library wrapped, as `instantiate` does, that of a disk, or the error itself."""
    if isinstance(error.__cause__, UserError):
        return error.__cause__
    return error if isinstance(error, UserError) else disk_error(error) or error


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
    if disk_is_full(error):
        return True
    return isinstance(error, OSError) and (error.errno in _LIMITS or (bool(error.filename) and is_of_disk(error)))


def is_of_disk(error: OSError) -> bool:
    """Whether an error is of a file or folder, whether or not it says of which, rather than of a network."""
    return error.errno in _ENVIRONMENT


def disk_error(error: BaseException | None) -> OSError | None:
    """Return the error of a disk that an error is, or that led to it while a library was writing; None: another one."""
    if isinstance(error, OSError):
        return error if is_of_disk(error) else None
    while error is not None:
        error = error.__cause__ or error.__context__
        if isinstance(error, OSError) and (error.errno in _LIMITS or error.errno in _HARDWARE):
            return error
    return None


def explain(error: BaseException, option: str = "") -> str:
    """Return what to tell the user of any exception: the message, and for a file that cannot be used the remedy.

    Args:
        error: the exception.
        option: of the command, by which it writes to another disk.
    """
    if disk_is_full(error):
        elsewhere = f", or write elsewhere with {option}" if option else ""
        return (
            f"The disk is full ({error}). Nothing finished is lost: free some space and run the same command "
            f"again{elsewhere}."
        )
    if isinstance(error, OSError) and error.errno in _LIMITS:
        name = f": {error.filename}" if error.filename else ""
        return printable(_LIMITS[error.errno].format(name=name, reason=error.strerror))
    if isinstance(error, OSError) and is_environmental(error):
        return printable(
            f"{error.filename2 or error.filename} cannot be read or written ({error.strerror}): give yourself the "
            "right to it, make room for it, or name another place; then run the same command again."
        )
    return printable(str(error) or type(error).__name__)
