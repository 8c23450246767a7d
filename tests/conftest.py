"""Settings that every test shares."""

import os

from hypothesis import settings

# Tests run side by side, and two OpenMP teams on one core wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A slow moment of the machine is no failure.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")
