"""One thread per process: tests run side by side, and two OpenMP teams on one core wait for each other."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
