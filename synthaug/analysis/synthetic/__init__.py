"""What a synthetic set is like beside the real training images: numbers from embeddings, no prose."""
