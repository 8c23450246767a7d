"""How much of a real training set can text-to-image pictures replace, and how sure are we?"""

import os

# PyTorch's threads spin while they wait for each other, unless this is set before they start. Beside another busy
# process on two cores a training step of ResNet18 (32 images of 32 pixels) took 0.15 s instead of 0.7 to 1.9 s;
# alone, an epoch of the default study took about 10 % longer with it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
