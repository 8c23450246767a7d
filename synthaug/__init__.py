"""How much of a real training set can text-to-image pictures replace, and how sure are we?"""

__version__ = "0.1.0"
