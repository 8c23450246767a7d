"""Networks by name: the right head, the given weights, and errors that say what to do."""

import builtins
import logging
import socket
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from synthaug.errors import UserError
from synthaug.models import backbones
from synthaug.models.backbones import IMAGENET_MEAN, IMAGENET_STD, build_backbone, trained_on
from tests.factories.servers import serve
from tests.factories.weights import in_the_cache

pytestmark = pytest.mark.filterwarnings(
    "ignore:The default weight initialization of:FutureWarning",  # GoogLeNet's and Inception's
)

HEADS = {
    "resnet18": "fc.",
    "convnext_tiny": "classifier.2.",
    "efficientnet_b0": "classifier.1.",
    "swin_t": "head.",
    "mobilenet_v3_small": "classifier.3.",
    "squeezenet1_1": "classifier.1.",
    "densenet121": "classifier.",
    "timm/test_efficientnet": "classifier.",
    "timm/test_resnet": "fc.",
    "timm/test_convnext": "head.fc.",
    "timm/test_vit": "head.",
}


def outputs(network: nn.Module, side: int = 64) -> int:
    network.eval()
    with torch.inference_mode():
        logits: Tensor = network(torch.rand(2, 3, side, side))
    assert isinstance(logits, Tensor)
    assert logits.shape[0] == 2
    return logits.shape[1]


def side(name: str) -> int:
    return 160 if name == "timm/test_vit" else 64


@pytest.mark.parametrize("name", HEADS)
def test_a_network_from_scratch_has_one_output_per_class(name: str) -> None:
    assert outputs(build_backbone(name, None, 3), side(name)) == 3


@pytest.mark.parametrize(
    ("name", "suffix"),
    [*((name, "pth") for name in HEADS), ("resnet18", "safetensors"), ("timm/test_efficientnet", "safetensors")],
)
def test_weights_of_a_file_are_kept_but_for_the_head(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{suffix}"
    pretrained = build_backbone(name, None, 7).state_dict()  # of other classes
    if suffix == "pth":
        torch.save(pretrained, path)
    else:
        save_file(pretrained, path)
    network = build_backbone(name, str(path), 3)
    assert outputs(network, side(name)) == 3
    head = HEADS[name]
    state = network.state_dict()
    assert {key for key in state if key.startswith(head)} == {f"{head}weight", f"{head}bias"}
    assert state.keys() == pretrained.keys()
    for key, value in state.items():
        if key.startswith(head):
            assert value.shape[0] == 3
        else:
            torch.testing.assert_close(value, pretrained[key], rtol=0, atol=0)


@pytest.mark.parametrize("weights", ["DEFAULT", "IMAGENET1K_V1"])
def test_weights_by_name_are_those_of_the_library(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    pretrained: dict[str, Tensor] = torchvision.models.resnet18().state_dict()

    def fetch(url: str, **_: Any) -> dict[str, Tensor]:
        fetched.append(url)
        return pretrained

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    state = build_backbone("resnet18", weights, 3).state_dict()
    assert fetched == [torchvision.models.ResNet18_Weights.DEFAULT.url]
    torch.testing.assert_close(state["conv1.weight"], pretrained["conv1.weight"], rtol=0, atol=0)
    assert state["fc.weight"].shape == (3, 512)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0"])
def test_weights_in_the_cache_need_no_network(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretrained = in_the_cache(name, tmp_path, monkeypatch)
    state = build_backbone(name, "DEFAULT", 3).state_dict()
    for key, value in state.items():
        if key.startswith(HEADS[name]):
            assert value.shape[0] == 3
        else:
            assert torch.equal(value, pretrained[key]), key


@pytest.mark.parametrize("name", ["vit_b_16", "timm/vit_tiny_patch16_224", "timm/swin_tiny_patch4_window7_224"])
def test_a_large_transformer_can_be_built(name: str) -> None:
    with torch.device("meta"):
        network = build_backbone(name, None, 5)
        assert network(torch.rand(2, 3, 224, 224)).shape == (2, 5)


@pytest.mark.parametrize("name", ["timm/test_vit", "timm/swin_tiny_patch4_window7_224"])
def test_a_transformer_takes_images_of_another_size_with_its_weights(name: str, tmp_path: Path) -> None:
    path, image_size = tmp_path / "weights.pth", 96
    pretrained = build_backbone(name, None, 7).state_dict()
    torch.save(pretrained, path)
    state = build_backbone(name, str(path), 2, image_size=image_size).state_dict()
    kept = [key for key, value in state.items() if key in pretrained and value.shape == pretrained[key].shape]
    assert all(torch.equal(state[key], pretrained[key]) for key in kept if "relative_position_index" not in key)
    assert len(kept) > 0.8 * len(pretrained)
    assert outputs(build_backbone(name, None, 2, image_size=image_size), image_size) == 2


def test_positions_are_resampled_and_not_drawn_anew() -> None:
    torch.manual_seed(0)
    native = build_backbone("timm/test_vit", None, 2)
    torch.manual_seed(0)
    resized = build_backbone("timm/test_vit", None, 2, image_size=320)
    before, after = (network.get_parameter("pos_embed")[:, -100:].flatten() for network in (native, resized))
    assert len(after) == len(before)
    assert resized.get_parameter("pos_embed").shape[1] > native.get_parameter("pos_embed").shape[1]
    assert torch.equal(native.get_parameter("head.weight"), resized.get_parameter("head.weight"))


@pytest.mark.parametrize(("size", "nearest"), [(40, "32 or 48"), (7, "16")])
def test_images_that_are_no_whole_number_of_patches_are_refused(size: int, nearest: str) -> None:
    with pytest.raises(
        UserError, match=rf"^dataset\.image_size={size}: .*16 pixels.*set dataset\.image_size={nearest}\.$"
    ):
        build_backbone("timm/test_vit", None, 2, image_size=size)


@pytest.mark.parametrize("name", ["resnet18", "timm/test_resnet"])
def test_what_has_no_positions_takes_no_size(name: str) -> None:
    with pytest.raises(UserError, match=rf"^model\.image_size=64: .*model\.backbone={name}"):
        build_backbone(name, None, 2, image_size=64)


def test_every_classifier_of_torchvision_says_what_it_was_trained_on() -> None:
    for name in torchvision.models.list_models(torchvision.models):
        for weights in torchvision.models.get_model_weights(name):
            inputs = trained_on(name, weights.name, nn.Identity())
            view = weights.transforms()
            assert (*inputs.mean, *inputs.std, inputs.image_size) == (*view.mean, *view.std, *view.crop_size)


@pytest.mark.parametrize(
    ("name", "weights", "mean", "size"),
    [
        ("resnet18", "DEFAULT", IMAGENET_MEAN, 224),
        ("efficientnet_v2_l", "DEFAULT", (0.5, 0.5, 0.5), 480),
        ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1", IMAGENET_MEAN, 384),
        ("timm/test_vit", "DEFAULT", (0.5, 0.5, 0.5), 160),
        ("timm/test_efficientnet", "DEFAULT", IMAGENET_MEAN, 160),
    ],
)
def test_the_input_is_what_the_weights_were_trained_on(
    name: str, weights: str, mean: tuple[float, ...], size: int, tmp_path: Path
) -> None:
    network = build_backbone(name, None, 2) if name.startswith("timm/") else nn.Identity()
    inputs = trained_on(name, weights, network)
    assert (inputs.mean, inputs.image_size) == (mean, size)
    scratch = trained_on(name, None, network)
    assert (scratch.mean, scratch.std) == (IMAGENET_MEAN, IMAGENET_STD)
    (tmp_path / "weights.pth").touch()
    assert trained_on(name, str(tmp_path / "weights.pth"), network).mean == mean


def test_a_file_of_inception_brings_its_own_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its weights torchvision switches that on, and without them off."""
    (tmp_path / "weights.pth").touch()
    monkeypatch.setattr(backbones, "_load_state", lambda *_: None)
    with torch.device("meta"):
        assert build_backbone("inception_v3", str(tmp_path / "weights.pth"), 2).transform_input
        assert not build_backbone("inception_v3", None, 2).transform_input


@pytest.mark.parametrize(("name", "size"), [("googlenet", 64), ("inception_v3", 299)])
def test_auxiliary_heads_are_dropped(name: str, size: int) -> None:
    """In training these return several logits, which no loss takes."""
    with torch.device("meta"):
        network = build_backbone(name, None, 5).train()
        assert network(torch.rand(2, 3, size, size)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("resnet19", "did you mean 'resnet18"),
        ("timm/resnet19", "timm has no such classifier; did you mean 'timm/resnet"),
        ("timm/resnet18.unknown_tag", "timm has no such classifier; did you mean 'timm/resnet"),
        ("fcn_resnet50", "torchvision has no such classifier"),  # segments
        ("zzzzzzzz", "it has for instance alexnet"),
    ],
)
def test_an_unknown_name_is_answered_with_known_ones(name: str, match: str) -> None:
    with pytest.raises(UserError, match=f"^model.backbone={name}: .*{match}"):
        build_backbone(name, None, 2)


def test_unknown_weights_are_answered_with_the_choices() -> None:
    with pytest.raises(UserError, match=r"^model.weights=V7 .* DEFAULT, IMAGENET1K_V1, IMAGENET1K_V2, null"):
        build_backbone("resnet50", "V7", 2)
    with pytest.raises(UserError, match=r"^model.weights=V7: for timm use DEFAULT.*model.backbone=timm/resnet18.<tag>"):
        build_backbone("timm/resnet18", "V7", 2)


def test_a_failed_download_names_the_network_the_cause_and_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(UserError) as caught:
        build_backbone("resnet18", "DEFAULT", 2)
    message = str(caught.value)
    assert message.startswith("The weights DEFAULT of resnet18 could not be fetched (<urlopen error Name or service")
    for part in ("https://download.pytorch.org/models/resnet18-", str(tmp_path / "hub"), "model.weights=null"):
        assert part in message


class LostConnection(Exception):  # noqa: N818
    """As HTTP libraries have them, no OSError."""


@pytest.mark.parametrize("kind", [OSError, RuntimeError, LostConnection])
def test_a_failed_download_of_timm_says_the_same(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    hub = logging.getLogger("huggingface_hub.utils")
    monkeypatch.setattr("synthaug.hub_client._silence", lambda *_: "")

    def unreachable(*_: Any, pretrained: bool, **__: Any) -> None:
        assert pretrained
        assert not hub.isEnabledFor(logging.WARNING)  # on which it tells of each attempt
        raise kind("we cannot find the requested files")

    monkeypatch.setattr(timm, "create_model", unreachable)
    url = "Download https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors where "
    with pytest.raises(
        UserError, match=rf"^The weights of timm/resnet18 .*cannot find.*{url}.*HF_HOME.*model.weights=null"
    ):
        build_backbone("timm/resnet18", "DEFAULT", 2)
    with pytest.raises(UserError, match=r"cannot find the requested files\)\. Set HF_HOME"):  # it has none anywhere
        build_backbone("timm/coatnet_0_224", "DEFAULT", 2)
    assert hub.isEnabledFor(logging.WARNING)


def test_a_hub_that_does_not_answer_is_the_reason_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """And timm is left to its cache: each of its attempts to reach the hub takes a minute."""
    monkeypatch.setattr("synthaug.hub_client._silence", lambda *_: "ReadTimeout: timed out")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(UserError, match=r"could not be fetched \(ReadTimeout: timed out\)\. Download"):
        build_backbone("timm/resnet18", "DEFAULT", 2)


def test_without_timm_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def refuse(name: str, *rest: Any, **named: Any) -> Any:
        if name == "timm":
            raise ImportError(name)
        return importing(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match=r"^model.backbone=timm/resnet18 needs timm: pip install 'synthaug\[timm\]'"):
        build_backbone("timm/resnet18", None, 2)


@pytest.mark.parametrize("name", ["resnet18", "timm/test_resnet"])
def test_a_file_that_holds_no_weights_of_the_network_is_named(name: str, tmp_path: Path) -> None:
    text, foreign = tmp_path / "text.pth", tmp_path / "foreign.pth"
    text.write_text("no weights", encoding="utf-8")
    torch.save(nn.Linear(2, 2).state_dict(), foreign)
    with pytest.raises(UserError, match=f"^model.weights={text} holds no tensors that can be read"):
        build_backbone(name, str(text), 2)
    with pytest.raises(UserError, match=f"^model.weights={foreign} holds no state dict of this network: .*Missing key"):
        build_backbone(name, str(foreign), 2)


@pytest.mark.parametrize("answers", [False, True])
def test_a_server_that_hangs_or_breaks_off_ends_in_a_sentence(
    answers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real download by PyTorch: it is given half of the file, or waits for its first byte."""
    (tmp_path / "resnet18-00000000.pth").write_bytes(b"x" * 1000)
    monkeypatch.setattr("synthaug.models.backbones._PATIENCE", 0.2)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with serve(tmp_path) as server, socket.create_server(("127.0.0.1", 0)) as silent:
        server.breaks["resnet18-00000000.pth"] = 1
        address = server.address if answers else f"http://127.0.0.1:{silent.getsockname()[1]}"

        def fetch(*_: object, **__: object) -> object:
            return torch.hub.load_state_dict_from_url(f"{address}/resnet18-00000000.pth", check_hash=True)

        monkeypatch.setattr("torchvision.models.get_model", fetch)
        with pytest.raises(UserError, match=r"could not be fetched.*model\.weights=<path>"):
            build_backbone("resnet18", "DEFAULT", 2)
    assert socket.getdefaulttimeout() is None
    assert not list((tmp_path / "hub").rglob("*.pth")), "half of a file would be taken for all of it"
