"""What people write for a comparison of training sets: torchvision's ImageFolder, its transforms, and Lightning.

    python -m benchmarks.plain_script <folder> --size 96 --epochs 2       # trains on each <folder>/<arm>/train

Each arm has <folder>/<arm>/train/<class>/, val and test. `benchmarks.alternatives` runs it.
"""

import argparse
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Network(lightning.LightningModule):
    """ResNet18 from random weights, Adam."""

    def __init__(self) -> None:
        super().__init__()
        self.network: nn.Module = resnet18(num_classes=2)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return cross_entropy(self.network(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self._log("val", batch)

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self._log("test", batch)

    def _log(self, split: str, batch: list[Tensor]) -> None:
        correct = self.network(batch[0]).argmax(dim=1) == batch[1]
        self.log(f"{split}/accuracy", correct.float().mean(), on_epoch=True, batch_size=len(correct))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def main() -> None:
    """Train on each arm and test it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    size, end = arguments.size, [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    training = transforms.Compose(
        [transforms.RandomResizedCrop(size, scale=(0.25, 1)), transforms.RandomHorizontalFlip(), *end]
    )
    evaluation = transforms.Compose([transforms.Resize(round(size / 0.875)), transforms.CenterCrop(size), *end])
    for arm in sorted(arguments.folder.iterdir()):
        lightning.seed_everything(0, verbose=False)

        def loader(split: str, transform: Any, shuffle: bool = False, arm: Path = arm) -> DataLoader[Any]:
            images = ImageFolder(str(arm / split), transform)
            workers = arguments.workers
            return DataLoader(images, 32, shuffle, num_workers=workers, persistent_workers=workers > 0)

        checkpoint = ModelCheckpoint(monitor="val/accuracy", mode="max")
        trainer = lightning.Trainer(
            max_epochs=arguments.epochs,
            accelerator="auto",
            devices=1,
            callbacks=[checkpoint],
            default_root_dir=arguments.folder.parent / "plain" / arm.name,
            log_every_n_steps=1,
        )
        network = Network()
        trainer.fit(network, loader("train", training, shuffle=True), loader("val", evaluation))
        trainer.test(network, loader("test", evaluation), ckpt_path="best")


if __name__ == "__main__":
    main()
