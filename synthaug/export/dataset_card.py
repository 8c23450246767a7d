"""The dataset card: `README.md` with the front matter of the Hugging Face hub."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import synthaug
from synthaug.messages import plural

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGEST = "1M<n<10M"
# Columns that say how images were made, where they differ from image to image or not.
_MADE_WITH = ("model", "revision", "weights", "scheduler", "steps", "guidance", "negative_prompt", "dtype")
_LIBRARIES = ("diffusers", "transformers", "torch", "python")
_GUIDED = "They start from real images (column `source`), which may be recognisable in them."
_COLUMNS = (
    "`metadata.jsonl` has a line for each image: `file_name`, `class`, `label`, `prompt`, `seed`, `index`, what made "
    "it, and the `sha256` of the file. Image `index` of a class has the same prompt and seed wherever it is made again."
)
_USE = """```python
from datasets import load_dataset

dataset = load_dataset("imagefolder", data_dir="<this folder>")
```"""
_LIMITS = (
    "A classifier that learned from synthetic images is to be tested on real ones. The images show what the model "
    "takes the classes for, with its stereotypes, and may repeat images that the model was trained on."
)
_FILES = """configs:
  - config_name: default
    data_files:
      - split: train
        path: ["metadata.jsonl", "*/*"]"""
_SHOWN_PROMPTS, _SHOWN_CLASSES = 20, 100


def dataset_card(
    name: str,
    counts: Mapping[str, int],
    records: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    screening: str | None,
    left_out: str,
    licence: str | None,
) -> str:
    """Return the card as Markdown.

    Args:
        name: of the dataset.
        counts: class → images.
        records: lines of `metadata.jsonl`.
        settings: that the images share.
        screening: name of the screening that chose them; None: they were not screened.
        left_out: which images of the set are not among them.
        licence: of the dataset; None where it is yet to be decided.
    """
    images = f"{plural(len(records), 'synthetic image')} of {plural(len(counts), 'class', 'classes')}"
    listed = [(_cell(class_name), f"{count:,}") for class_name, count in list(counts.items())[:_SHOWN_CLASSES]]
    sections = [
        _front_matter(name, len(records), licence),
        f"# {name}",
        f"{images}, made with synthaug {synthaug.__version__}. Every image is the output of a text-to-image model.",
        _GUIDED if any(record["source"] for record in records) else "",
        "## Images",
        _table(("class", "images"), listed),
        _rest(len(counts) - _SHOWN_CLASSES, "class", "classes"),
        _COLUMNS,
        _USE,
        "## How they were made",
        _table(("", "value"), [*_made_with(records), *_shared(settings, records)]),
        f"Screening: {f'`{screening}`' if screening else 'none'}. Left out: {left_out or 'nothing'}.",
        "## Prompts",
        _prompts(records),
        "## Licence",
        _licence(licence, sorted({str(record["model"]) for record in records})),
        "## Limits",
        _LIMITS,
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _front_matter(name: str, images: int, licence: str | None) -> str:
    size = next((label for limit, label in _SIZES if images < limit), _LARGEST)
    lines = [
        f"pretty_name: {json.dumps(name, ensure_ascii=False)}",
        f"license: {json.dumps(licence)}" if licence else "# license: read that of the model, then name one",
        "task_categories:\n  - image-classification",
        "tags:\n  - synthetic\n  - croissant",
        f"size_categories:\n  - {size}",
        _FILES,
    ]
    return "\n".join(["---", *lines, "---"])


def _made_with(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    rows = []
    for column in _MADE_WITH:
        values = Counter(str(record[column]) for record in records if str(record[column]))
        if values:
            listed = ", ".join(f"`{_cell(value)}`" for value, _ in values.most_common(3))
            rows.append((column.replace("_", " "), listed + (" …" if len(values) > 3 else "")))
    versions = {column: sorted({str(record[column]) for record in records}) for column in _LIBRARIES}
    listed = ", ".join(f"{column} {', '.join(filter(None, values))}" for column, values in versions.items())
    return [*rows, ("libraries", _cell(listed))]


def _shared(settings: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return what the images share and no column has."""
    columns = {*records[0], *("num_inference_steps", "guidance_scale")}
    return [
        (key.replace("_", " "), f"`{_cell(json.dumps(value, ensure_ascii=False))}`")
        for key, value in settings.items()
        if key not in columns and value not in (None, "", [], {})
    ]


def _prompts(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the first prompts of all classes in turn."""
    of_class: dict[str, list[str]] = {}
    for record in records:
        prompts = of_class.setdefault(str(record["class"]), [])
        if len(prompts) < _SHOWN_PROMPTS and record["prompt"] not in prompts:
            prompts.append(str(record["prompt"]))
    each = max(1, _SHOWN_PROMPTS // len(of_class))
    shown = [(name, prompt) for name, prompts in of_class.items() for prompt in prompts[:each]][:_SHOWN_PROMPTS]
    total = len({record["prompt"] for record in records})
    listed = _table(("class", "prompt"), [(_cell(name), _cell(prompt)) for name, prompt in shown])
    return "\n\n".join(filter(None, [listed, _rest(total - len(shown), "prompt", "prompts")]))


def _licence(licence: str | None, models: Sequence[str]) -> str:
    source = f"What may be done with the images depends on the licence of {', '.join(f'`{name}`' for name in models)}"
    if licence:
        return f"{licence}. {source}."
    return f"**To be confirmed by whoever shares this dataset.** {source}, and perhaps on that of the real images used."


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rest(count: int, singular: str, several: str) -> str:
    return f"… and {plural(count, f'more {singular}', f'more {several}')}." if count > 0 else ""


def _cell(text: str) -> str:
    return " ".join(text.replace("|", r"\|").replace("`", "'").split())
