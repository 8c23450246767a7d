"""One training set with Hugging Face's Trainer and datasets, as the image-classification example uses them.

    python -m benchmarks.trainer_script <arm> <output> --size 96 --epochs 2

The example itself (examples/pytorch/image-classification/run_image_classification.py) asks the hub for its metric;
this script has the same loader, transforms, collator and Trainer. `benchmarks.alternatives` runs it.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import load_dataset
from torchvision import transforms
from transformers import ResNetConfig, ResNetForImageClassification, Trainer, TrainingArguments

from benchmarks.plain_script import MEAN, STD


def main() -> None:
    """Train and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arm", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    size, end = arguments.size, [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    training = transforms.Compose(
        [transforms.RandomResizedCrop(size, scale=(0.25, 1)), transforms.RandomHorizontalFlip(), *end]
    )
    evaluation = transforms.Compose([transforms.Resize(round(size / 0.875)), transforms.CenterCrop(size), *end])
    files = {split: str(arguments.arm / split / "**") for split in ("train", "val", "test")}
    images = load_dataset("imagefolder", data_files=files, cache_dir=str(arguments.output / "cache"))

    def transformed(transform: Any) -> Any:
        def apply(examples: dict[str, list[Any]]) -> dict[str, list[Any]]:
            examples["pixel_values"] = [transform(image.convert("RGB")) for image in examples["image"]]
            return examples

        return apply

    def collate(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        pixels = torch.stack([example["pixel_values"] for example in examples])
        return {"pixel_values": pixels, "labels": torch.tensor([example["label"] for example in examples])}

    trainer = Trainer(
        model=ResNetForImageClassification(
            ResNetConfig(depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], layer_type="basic", num_labels=2)
        ),
        args=TrainingArguments(
            output_dir=str(arguments.output),
            num_train_epochs=arguments.epochs,
            per_device_train_batch_size=32,
            per_device_eval_batch_size=32,
            learning_rate=1e-3,
            remove_unused_columns=False,
            dataloader_num_workers=2,
            eval_strategy="epoch",
            save_strategy="epoch",
            load_best_model_at_end=True,
            metric_for_best_model="accuracy",
            use_cpu=not torch.cuda.is_available(),
            report_to=[],
        ),
        train_dataset=images["train"].with_transform(transformed(training)),
        eval_dataset=images["val"].with_transform(transformed(evaluation)),
        compute_metrics=lambda answers: {
            "accuracy": float(np.mean(np.argmax(answers.predictions, axis=1) == answers.label_ids))
        },
        data_collator=collate,
    )
    trainer.train()
    print(trainer.evaluate(images["test"].with_transform(transformed(evaluation))))


if __name__ == "__main__":
    main()
