"""The processor threads of this process: as many as the configuration says, whatever the machine has.

Sums that are shared out among threads are rounded in another order, so that a result would depend on the number of
cores.
"""

import os
import sys

# Of the libraries below torch and numpy, which read them when they are imported.
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def limit_threads(threads: int) -> None:
    """Compute with so many threads from here on, in this process and in those that it starts.

    Args:
        threads: of a run.
    """
    os.environ.update(dict.fromkeys(_VARIABLES, str(threads)))
    if "torch" in sys.modules:
        import torch

        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
