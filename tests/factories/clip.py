"""A tiny CLIP model with random weights, of the true classes of transformers."""

from pathlib import Path

from tests.factories.pipelines import LONGEST, build_tokenizer, random_weights

SIDE = 16  # pixels of the images that it takes


def save_clip(folder: Path, seed: int = 0) -> Path:
    """Save a CLIP model of a few thousand parameters in transformers' format.

    Args:
        folder: where it goes.
        seed: of the weights.
    """
    from transformers import CLIPConfig, CLIPModel, CLIPProcessor
    from transformers.models.clip import CLIPImageProcessor

    tokenizer = build_tokenizer()
    tower = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {
        **tower,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": LONGEST,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = CLIPConfig(
        text_config=text, vision_config={**tower, "image_size": SIDE, "patch_size": 8}, projection_dim=6
    )
    with random_weights(seed):
        model = CLIPModel(config)
    images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    model.save_pretrained(folder)
    CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return folder
