"""Tiny captioners with random weights, of the true classes of transformers."""

from collections.abc import Sequence
from pathlib import Path

# What a random language model can say: its tokens are whole lines, so that its answers are worth parsing.
LINES = ("1. a cat on a sofa\n", "a dog in the snow\n", '"A cat at night"\n', "Here are captions:\n", "two dogs\n")
WORDS = ("a", "photo", "of", "cat", "dog", "on", "in", "snow", "sofa", "night", "two", "at")
_LARGE = {"initializer_range": 1.0}  # random weights with which an image makes a difference
_TEMPLATE = (
    "{% for m in messages %}<user>{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def save_language_model(folder: Path, lines: Sequence[str] = LINES, has_chat_template: bool = True) -> Path:
    """Save a Llama of a few thousand parameters that answers some of `lines`, and stops now and then."""
    import torch
    from tokenizers import Tokenizer, decoders, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokens = [*lines, "<user>", "<assistant>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="</s>",
        pad_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<user>", "<assistant>"],
    )
    fast.chat_template = _TEMPLATE if has_chat_template else None
    end = tokens.index("</s>")
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=64,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=end,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def save_blip(folder: Path) -> Path:
    """Save a BLIP of a few thousand parameters that knows `WORDS`."""
    import torch
    from transformers import (
        BertTokenizerFast,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *WORDS]
    tokenizer = BertTokenizerFast(vocab={word: number for number, word in enumerate(words)})
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, **_LARGE}
    text = {
        **size,
        "vocab_size": len(words),
        "encoder_hidden_size": 8,
        "max_position_embeddings": 64,
        "bos_token_id": words.index("[DEC]"),
        "pad_token_id": 0,
        "eos_token_id": words.index("[SEP]"),
        "sep_token_id": words.index("[SEP]"),
        "projection_dim": 8,
    }
    vision = {**size, "image_size": 16, "patch_size": 8, "projection_dim": 8}
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=8, **_LARGE)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BlipForConditionalGeneration(config).save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": 16, "width": 16}), tokenizer).save_pretrained(folder)
    return folder


def save_llava(folder: Path) -> Path:
    """Save a LLaVA of a few thousand parameters, which looks at an image in a conversation."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    special = ["<unk>", "</s>", "<image>", "<user>", "<assistant>"]
    words = [*special, *WORDS]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="</s>",
        pad_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=special[2:],
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
        fast,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=(
            "{% for m in messages %}<{{ m['role'] }}> {% for c in m['content'] %}"
            "{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }} {% endif %}{% endfor %}{% endfor %}"
        ),
    )
    size = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1, **_LARGE}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**size, num_hidden_layers=2, image_size=16, patch_size=8),
        text_config=LlamaConfig(
            **size,
            num_hidden_layers=1,
            vocab_size=len(words),
            max_position_embeddings=128,
            bos_token_id=None,
            eos_token_id=1,
            pad_token_id=1,
        ),
        image_token_index=2,
        **_LARGE,
        vision_feature_layer=-1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
