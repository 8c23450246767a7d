"""Memory that is freed stays with the process, so that what is allocated next need not be mapped page by page."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3)


def keep_freed_memory() -> None:
    """Have the C library keep freed memory for what is allocated next, however large; does nothing where it cannot.

    By default, glibc returns each large array to the system when it is freed, and the next one, of the same size, is
    mapped and zeroed again page by page: at each step of training, and for each image that is decoded.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
