"""The work of decoding a study: each file once, however many arms, seeds and epochs read it."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from synthaug.data import decoding
from synthaug.data.augment import Augmentation
from synthaug.data.datamodule import MixDataModule
from tests.factories.commands import build_arm, settings
from tests.factories.images import write_dataset, write_flat

REAL_SHARES = (1.0, 0.5, 0.25)
RULE = {"test": 0.25, "val": 0.25, "seed": 0, "near_duplicates": True}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the content of each file was decoded, by its hash."""
    counts: Counter[str] = Counter()
    original = decoding._decode

    def counted(content: bytes, sizes: Sequence[decoding.Size]) -> object:
        counts[hashlib.sha256(content).hexdigest()] += 1
        return original(content, sizes)

    monkeypatch.setattr(decoding, "_decode", counted)
    return counts


@pytest.fixture(params=["split by hand", "drawn"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    if request.param == "drawn":
        root = write_flat(tmp_path / "photos", {"cat": 8, "dog": 8})
        return {"root": str(root), "train": ".", "split": RULE}
    return {"root": str(write_dataset(tmp_path / "photos", classes=("cat", "dog")))}


def sweep(dataset: dict[str, object], output_dir: Path, arms: int, seeds: int, epochs: int) -> set[str]:
    """Read the images of a study's runs as training does; the hashes of all of them."""
    used: set[str] = set()
    for real in REAL_SHARES[:arms]:
        for seed in range(seeds):
            run = settings(Path(), output_dir, real, 1 - real, seed)
            run["dataset"] |= dataset
            arm = build_arm(run)
            lists = (arm.train, arm.real.val, arm.real.test)
            used |= {sample.sha256 for samples in lists for sample in samples}
            data = MixDataModule(*lists, arm.store, 32, augmentation=Augmentation(horizontal_flip=0.5), batch_size=4)
            for _ in range(epochs):
                for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
                    assert [data.on_after_batch_transfer(raw, 0).images for raw in loader]
    return used


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 2, 3)])
def test_each_file_is_decoded_once_and_by_a_second_sweep_not_at_all(
    tmp_path: Path, dataset: dict[str, object], decoded: Counter[str], size: tuple[int, int, int]
) -> None:
    used = sweep(dataset, tmp_path / "outputs", *size)
    assert decoded == dict.fromkeys(used, 1)
    decoded.clear()
    sweep(dataset, tmp_path / "outputs", *size)
    assert not decoded
