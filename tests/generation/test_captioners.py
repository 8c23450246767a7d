"""Captioners of tiny random models of the true classes: answers by seed, each with its class; what is refused."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from synthaug.data.samples import REAL, Sample
from synthaug.errors import UserError
from synthaug.files import sha256
from synthaug.generation.captioners import ImageCaptioner, InstructionCaptioner
from synthaug.generation.captioning import CaptionFile, Subject
from tests.factories.captioners import LINES, save_blip, save_language_model, save_llava
from tests.factories.images import image

INSTRUCTION = "Write {count} captions of {a} {class_name}"
CAT, DOG = Subject("cat", "cat"), Subject("dog", "dog")


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_language_model(tmp_path_factory.mktemp("language_model"))


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_blip(tmp_path_factory.mktemp("blip"))


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    folder = tmp_path_factory.mktemp("photos")
    samples = []
    for number in range(3):
        path = folder / f"{number}.png"
        image(number, (20, 30)).save(path)
        samples.append(Sample(path, 0, "cat", REAL, sha256(path)))
    return samples


def instruct(model: Path | str, **settings: Any) -> InstructionCaptioner:
    return InstructionCaptioner(str(model), INSTRUCTION, **{"max_new_tokens": 20, "device": "cpu", **settings})


def refusal(captioner: InstructionCaptioner | ImageCaptioner) -> str:
    def use() -> None:
        captioner.check()
        captioner.provenance()

    with pytest.raises(UserError) as caught:
        use()
    return str(caught.value)


def test_an_answer_depends_on_class_step_and_seed_alone(language_model: Path) -> None:
    captioner = instruct(language_model)
    answers = [captioner.propose(CAT, step, 0) for step in range(4)]
    assert any(answers)
    assert [instruct(language_model).propose(CAT, step, 0) for step in (3, 1)] == [answers[3], answers[1]]
    assert [captioner.propose(CAT, step, 1) for step in range(4)] != answers
    assert [captioner.propose(DOG, step, 0) for step in range(4)] != answers
    clean = {"a cat on a sofa", "a dog in the snow", "A cat at night", "two dogs"}
    assert {proposal.text for answer in answers for proposal in answer} <= clean


def test_an_answer_that_is_cut_off_loses_its_last_line(language_model: Path) -> None:
    whole = [len(instruct(language_model, max_new_tokens=1).propose(CAT, step, 0)) for step in range(8)]
    assert whole == [0] * 8


def test_a_file_by_a_language_model(tmp_path: Path, language_model: Path) -> None:
    def write(folder: Path, *counts: int) -> list[dict[str, Any]]:
        for count in counts:
            file = CaptionFile(folder, instruct(language_model, max_tries=20), [CAT, DOG], 0)
            file.ensure(count)
        return file.rows()

    rows = write(tmp_path / "once", 2)
    assert [(row["class"], row["revision"], len(row["weights"])) for row in rows] == [
        ("cat", "", 64), ("cat", "", 64), ("dog", "", 64), ("dog", "", 64)
    ]  # fmt: skip
    assert {row["caption"] for row in rows[2:]} == {"a dog in the snow", "two dogs"}
    assert write(tmp_path / "twice", 1, 2) == rows


@pytest.mark.parametrize("kind", ["blip", "llava"])
def test_each_caption_of_an_image_names_its_class_and_image(
    tmp_path: Path, kind: str, photos: list[Sample], request: pytest.FixtureRequest
) -> None:
    blip = request.getfixturevalue(kind)
    for name in ("cat", "RV", "犬", "sea lion"):  # the tokenizer has no words for most of them
        captioner = ImageCaptioner(str(blip), device="cpu", max_new_tokens=6)
        file = CaptionFile(tmp_path / name, captioner, [Subject("x", name, photos)], 0)
        file.ensure(3)
        rows = file.rows()
        assert len({row["caption"] for row in rows}) == 3
        article = "an" if name == "RV" else "a"
        assert all(row["caption"].startswith(f"a photo of {article} {name}") for row in rows)
        assert {row["source_sha256"] for row in rows} <= {sample.sha256 for sample in photos}
        assert len({row["source"] for row in rows}) > 1


@pytest.mark.parametrize("kind", ["blip", "llava"])
def test_a_caption_depends_on_the_image(
    tmp_path: Path, kind: str, photos: list[Sample], request: pytest.FixtureRequest
) -> None:
    captioner = ImageCaptioner(str(request.getfixturevalue(kind)), device="cpu", max_new_tokens=12)

    def texts(images: list[Sample]) -> list[str]:
        return [captioner.propose(Subject("cat", "cat", images), step, 0)[0].text for step in range(6)]

    assert texts(photos[:1]) == texts(photos[:1])
    assert texts(photos[:1]) != texts(photos[1:2])


def test_a_training_image_that_was_deleted_since(blip: Path, tmp_path: Path) -> None:
    path = tmp_path / "gone.png"
    sample = Sample(path, 0, "cat", REAL, "0" * 64)
    with pytest.raises(UserError, match=r"gone\.png"):
        ImageCaptioner(str(blip), device="cpu").propose(Subject("cat", "cat", [sample]), 0, 0)
    image(1, (20, 20)).save(path)
    with pytest.raises(UserError, match="not what was listed"):
        ImageCaptioner(str(blip), device="cpu").propose(Subject("cat", "cat", [sample]), 0, 0)


def test_settings_are_checked_all_at_once() -> None:
    captioner = InstructionCaptioner("x/y", "tell {me}", temperature=-1, top_p=0, max_new_tokens=0, dtype="int8")
    with pytest.raises(UserError) as caught:
        captioner.check()
    text = str(caught.value)
    for key in ("temperature", "top_p", "max_new_tokens", "dtype", "instruction: lacks", "{me}"):
        assert key in text
    assert "temperature=0" in refusal(instruct("x/y", temperature=0))
    assert "captioner.request" in refusal(ImageCaptioner("x/y", request="a photo"))
    assert "captioner.beginning" in refusal(ImageCaptioner("x/y", beginning="a photo of a {class_name"))


def test_a_folder_that_is_no_captioner(tmp_path: Path, blip: Path) -> None:
    plain = save_language_model(tmp_path / "plain", LINES, has_chat_template=False)
    assert "no chat template" in refusal(instruct(plain))
    assert "captioner.model" in refusal(instruct(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    assert "safetensors" in refusal(instruct(tmp_path / "empty"))
    assert f"The captioner {blip} could not be loaded" in refusal(instruct(blip))


def test_a_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    text = refusal(instruct("someone/a-model"))
    assert text.startswith("The captioner someone/a-model could not be loaded.")
    for remedy in ("captioner.model=<folder>", "HF_HOME", "prompts.file=<file>"):
        assert remedy in text
    captioner = instruct("someone/a-model")
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        captioner.provenance()
