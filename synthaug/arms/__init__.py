"""What a run trains on and is tested on: mixes and shift sets."""
