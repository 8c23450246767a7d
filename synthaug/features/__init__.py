"""What a network, or a small copy of the pixels, makes of images: embeddings, kept on disk."""
