"""From folders of images to batches: listing, decoding, mixing, augmenting."""
