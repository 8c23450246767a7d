"""Networks as backbones of embeddings: what their last layer gets, by name, from a file, or of a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from synthaug.data.pixels import padded
from synthaug.errors import UserError
from synthaug.features.backbone_by_name import feature_backbone
from synthaug.features.network_features import NetworkFeatures
from synthaug.models.checkpoints import load_classifier
from synthaug.runs import layout
from tests.factories.commands import NETWORK, settings, train
from tests.factories.images import image, write_dataset
from tests.factories.weights import in_the_cache


def pictures(count: int = 5) -> list[NDArray[np.uint8]]:
    return [np.asarray(image(number, (40 + 3 * number, 36))) for number in range(count)]


@pytest.mark.parametrize(
    ("name", "dimension"),
    [
        ("resnet18", 512),
        ("squeezenet1_1", 512),  # whose head is a convolution
        ("timm/test_vit", 64),
        ("timm/test_efficientnet", 256),
    ],
)
def test_a_network_embeds_each_image_by_itself(name: str, dimension: int) -> None:
    backbone = feature_backbone(f"{name}@random", image_size=96 if name != "timm/test_vit" else None, device="cpu")
    images = pictures()
    together = backbone.embed(images)
    assert together.shape == (5, dimension)
    assert together.dtype == np.float32
    apart = np.concatenate([backbone.embed([picture]) for picture in images[::-1]])[::-1]
    np.testing.assert_allclose(together, apart, rtol=1e-3, atol=1e-5)
    assert np.ptp(together, axis=0).max() > 0


def test_the_embedding_is_what_the_last_layer_gets() -> None:
    backbone = feature_backbone("resnet18@random", image_size=64, device="cpu")
    assert isinstance(backbone, NetworkFeatures)
    images = pictures(2)
    embedding = torch.from_numpy(backbone.embed(images))
    network: Any = backbone._network.network
    seen: list[torch.Tensor] = []
    network.avgpool.register_forward_hook(lambda module, inputs, output: seen.append(output))
    backbone.embed(images)
    torch.testing.assert_close(seen[0].flatten(1), embedding)


def test_random_weights_are_the_same_every_time_and_the_digest_tells_weights_and_size_apart() -> None:
    def digest(name: str, size: int = 32) -> str:
        torch.manual_seed(len(name))
        return feature_backbone(name, size, "cpu").digest

    assert digest("resnet18@random") == digest("resnet18@random")
    assert len({digest("resnet18@random"), digest("resnet18@random", 64), digest("resnet34@random")}) == 3


def test_pretrained_weights_and_those_of_a_file_are_the_same_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = in_the_cache("resnet18", tmp_path, monkeypatch)
    torch.save(state, tmp_path / "weights.pth")
    by_name, of_file = (feature_backbone(name, 32, "cpu") for name in ("resnet18", f"resnet18@{tmp_path}/weights.pth"))
    np.testing.assert_array_equal(by_name.embed(pictures()), of_file.embed(pictures()))
    assert by_name.digest == of_file.digest


def test_large_inputs_of_transformers_become_the_usual_size() -> None:
    backbone = feature_backbone("timm/vit_tiny_patch16_384@random", device="cpu")
    assert backbone.short_side == 224
    assert feature_backbone("timm/vit_tiny_patch16_384@random", 64, "cpu").short_side == 64


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run_settings = settings(write_dataset(folder / "photos"), folder)
    run_settings["trainer"] |= {"max_epochs": 1}
    run_settings["model"] |= {"head_dropout": 0.5, "ema": 0.9}
    train(folder / "run", run_settings)
    return folder / "run"


def test_the_classifier_of_a_run_gives_what_its_head_gets(run: Path) -> None:
    backbone = feature_backbone(f"run:{run}", device="cpu")
    assert isinstance(backbone, NetworkFeatures)
    embedding = torch.from_numpy(backbone.embed(pictures()))
    classifier = load_classifier(run / layout.CHECKPOINT, "cpu")
    assert classifier.average is not None
    average: Any = classifier.average.module
    head = average.get_classifier()
    with torch.inference_mode():
        logits = head(embedding)
        assert classifier.view is not None
        pixels, sizes = map(torch.from_numpy, padded(pictures()))
        torch.testing.assert_close(classifier(classifier.view(pixels, sizes)), logits)
    assert feature_backbone(f"run:{run}", device="cpu").digest == backbone.digest


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("resnet19", "resnet18"),
        ("timm/vit_smal_patch16_224", "vit_small_patch16_224"),
        ("resnet18@nowhere.pth", "nowhere.pth"),
        ("run:nowhere", "nowhere"),
        (NETWORK, f"{NETWORK}@<path>"),  # whose weights no test can reach
        ("resnet18", "resnet18@<path>"),
    ],
)
def test_what_cannot_be_had_is_named_with_the_way_out(
    name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub._hub_dir", None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    monkeypatch.setattr("timm.models._builder.load_pretrained", refuse)
    with pytest.raises(UserError) as raised:
        feature_backbone(name, device="cpu")
    assert told in str(raised.value)
    assert "model.weights" not in str(raised.value)


def test_a_size_that_a_network_cannot_take_is_refused() -> None:
    with pytest.raises(UserError, match="images of"):
        feature_backbone("vit_b_16@random", 100, "cpu")
