"""Memory that stays with the process."""

import subprocess
import sys

import pytest

# Page faults of ten arrays of 64 MB, one after the other.
FAULTS = """
import resource, sys
import numpy as np
from synthaug.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
for number in range(11):
    if number == 1:
        start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone is asked")
def test_freed_arrays_are_not_mapped_again() -> None:
    faults = {
        kept: int(subprocess.run([sys.executable, "-c", FAULTS, kept], capture_output=True, check=True).stdout)
        for kept in ("keep", "return")
    }
    assert faults["keep"] < faults["return"] / 20
