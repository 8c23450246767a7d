"""What is wrong with the images of a dataset, before anything is trained on them."""
