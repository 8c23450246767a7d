"""The checkpoint of a run loads by itself: the same network, nothing fetched, nothing but plain containers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from synthaug.data.augment import View
from synthaug.models.backbones import build_backbone
from synthaug.models.classifier import Classifier
from synthaug.runs import layout
from tests.factories.commands import NETWORK, settings, train
from tests.factories.images import write_dataset
from tests.factories.weights import in_the_cache

pytestmark = pytest.mark.filterwarnings(
    "ignore:The default weight initialization of:FutureWarning",  # GoogLeNet's and Inception's
)

PLAIN = (dict, list, tuple, str, int, float, bool, type(None))


class Narrow(Classifier):
    """A model of the user's own, with arguments of its own."""

    def __init__(self, classes: list[str], width: int = 1, backbone: str = NETWORK, **others: Any) -> None:
        super().__init__(classes, backbone=backbone, **others)
        self.width = width


def checkpoint(folder: Path, model: Mapping[str, Any], kind: Callable[..., Classifier] = Classifier) -> Path:
    """The best checkpoint of a run of one epoch."""
    run_settings = settings(write_dataset(folder / "photos"), folder)
    run_settings |= {"model": model, "trainer": {"max_epochs": 1}}
    train(folder / "run", run_settings, kind=kind)
    return folder / "run" / layout.CHECKPOINT


def logits(classifier: Classifier, side: int = 32) -> Tensor:
    images = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        output: Tensor = classifier.eval()(images)
    return output


def refuse_downloads(patch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **_: Any) -> None:
        raise AssertionError(f"fetches {arguments}")

    for name in ("torch.hub.load_state_dict_from_url", "torchvision.models._api.load_state_dict_from_url"):
        patch.setattr(name, refuse)
    patch.setattr("torch.hub.download_url_to_file", refuse)


def is_plain(value: Any) -> bool:
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else []
    return type(value) in PLAIN and all(map(is_plain, parts))


@pytest.mark.parametrize(
    "model",
    [
        {"backbone": NETWORK, "lr": 0.01},
        {"backbone": NETWORK, "head_batch_norm": True, "head_dropout": 0.2, "mean": [0.1, 0.2, 0.3], "lr": 0.01},
        {"backbone": "timm/test_resnet", "batch_norm": "per_origin", "train_stages": 1, "unfreeze_every": 1},
    ],
    ids=["plain", "head", "frozen and per origin"],
)
def test_it_loads_without_further_arguments(tmp_path: Path, model: dict[str, Any]) -> None:
    best = checkpoint(tmp_path, model)
    loaded = Classifier.load_from_checkpoint(best, weights_only=True)
    rebuilt = Classifier(["cat", "dog"], **model)
    rebuilt.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
    assert torch.equal(logits(loaded), logits(rebuilt))
    assert loaded.classes == ["cat", "dog"]
    assert (loaded.freezing is None) == ("train_stages" not in model)
    assert {name: loaded.hparams[name] for name in model if name != "mean"} | model == model
    assert torch.equal(loaded.mean, rebuilt.mean)


def test_it_says_how_the_run_showed_its_images(tmp_path: Path) -> None:
    best = checkpoint(tmp_path, {"backbone": NETWORK})
    loaded = Classifier.load_from_checkpoint(best)
    # A training crop may be half of the area: 32 / sqrt(0.5) pixels.
    assert loaded.view == View(image_size=32, crop_pct=0.875, short_side=46)
    augment = torch.load(best, weights_only=True)["datamodule_hyper_parameters"]["augment"]
    assert (augment["scale"], augment["rotation"]) == ((0.5, 1.0), 10.0)


def test_pretrained_weights_are_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_cache("resnet18", tmp_path / "cache", monkeypatch)
    best = checkpoint(tmp_path, {"backbone": "resnet18", "weights": "DEFAULT", "lr": 1e-4})
    refuse_downloads(monkeypatch)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    loaded = Classifier.load_from_checkpoint(best)
    trained = torch.load(best, weights_only=True)["state_dict"]["network.conv1.weight"]
    assert torch.equal(loaded.network.get_parameter("conv1.weight"), trained)
    assert loaded.hparams["weights"] == "DEFAULT"


def test_a_file_of_weights_may_be_gone_and_its_folder_is_nobodys_business(tmp_path: Path) -> None:
    file = tmp_path / "secret" / "weights.pth"
    file.parent.mkdir()
    torch.save(build_backbone(NETWORK, None, 1000).state_dict(), file)
    best = checkpoint(tmp_path, {"backbone": NETWORK, "weights": str(file)})
    file.unlink()
    hparams = torch.load(best, weights_only=True)["hyper_parameters"]
    assert hparams["weights"] == "weights.pth"
    assert "secret" not in repr(hparams)
    assert np.isfinite(logits(Classifier.load_from_checkpoint(best)).numpy()).all()


def test_everything_in_it_is_plain(tmp_path: Path) -> None:
    def build(**arguments: Any) -> Classifier:  # as Hydra passes lists unless it is told otherwise
        return Classifier(mean=OmegaConf.create([0.5, 0.5, 0.5]), **arguments)  # type: ignore[arg-type]

    best = checkpoint(tmp_path, {"backbone": NETWORK}, build)
    content = torch.load(best, weights_only=True)
    assert [key for key, value in content["hyper_parameters"].items() if not is_plain(value)] == []
    assert is_plain(content["datamodule_hyper_parameters"])


def test_a_model_of_the_users_own_loads_as_well(tmp_path: Path) -> None:
    best = checkpoint(tmp_path, {"width": 2, "lr": 0.01}, Narrow)
    loaded = Narrow.load_from_checkpoint(best)
    assert (loaded.width, loaded.lr, loaded.classes) == (2, 0.01, ["cat", "dog"])


@pytest.mark.parametrize(
    ("name", "weights", "path", "shape"),
    [
        ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1", "encoder.pos_embedding", (1, 577, 768)),
        ("vit_b_16", "weights.pth", "encoder.pos_embedding", (1, 197, 768)),
        ("resnet18", "DEFAULT", "fc.weight", (2, 512)),
    ],
)
def test_the_network_is_the_one_that_the_weights_fit(
    name: str, weights: str, path: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_downloads(monkeypatch)
    with torch.device("meta"):
        assert build_backbone(name, weights, 2, fetch=False).get_parameter(path).shape == shape


@pytest.mark.parametrize("weights", ["DEFAULT", "weights.pth"])
def test_inception_has_the_statistics_of_its_weights(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_downloads(monkeypatch)
    with torch.device("meta"):
        assert build_backbone("inception_v3", weights, 2, fetch=False).transform_input
