"""A synthetic set as a dataset that others can load: images, metadata, dataset card and Croissant."""
