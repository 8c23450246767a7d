"""What guides the generator of an arm: the real images that the arm trains on, and no others."""

from pathlib import Path
from typing import Any

import pytest

from synthaug.arms import build, mixing, real_share
from synthaug.arms.mixing import Mix
from synthaug.data.samples import RealImages, Sample
from synthaug.errors import UserError
from synthaug.generation.folder import FolderGenerator
from synthaug.generation.source_images import SourceImages
from tests.factories import commands
from tests.factories.commands import Painter
from tests.factories.images import sample


class Guided(Painter):
    is_guided = True


def dataset(root: str = "photos") -> RealImages:
    def listed(first: int, count: int) -> list[Sample]:
        return [
            sample(first + 100 * label + number, name, label)
            for label, name in enumerate(("cat", "dog"))
            for number in range(count)
        ]

    return RealImages(["cat", "dog"], listed(0, 10), listed(1000, 4), listed(2000, 4), listed(3000, 6))


def settings(real: float = 0.4, **changes: Any) -> dict[str, Any]:
    defaults = commands.settings(Path("photos"), Path("outputs"), real, 0.6)
    mix = {**defaults["mix"], **changes.pop("mix", {})}
    return {**defaults, "replicate": "images", "debug": False, **changes, "mix": mix}


def sources(dataset_of_run: RealImages, **changes: Any) -> set[str]:
    images = real_share.source_images(dataset_of_run, settings(**changes), Guided())
    assert isinstance(images, SourceImages)
    return {item.sha256 for samples in images.by_class.values() for item in samples}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"real": 1.0},
        {"real": 1.5},
        {"seed": 3},
        {"seed": 3, "replicate": "weights"},
        {"mix": {"real_per_class": 2}},
    ],
    ids=str,
)
def test_sources_are_the_real_images_that_the_arm_trains_on(changes: dict[str, Any]) -> None:
    real, run = dataset(), settings(**changes)
    counts = mixing.required(real.train, real.classes, Mix.of(run["mix"]), real.more)
    pool = [sample(5000 + number, name, origin="synthetic") for name in real.classes for number in range(20)]
    seed = 0 if run["replicate"] == "weights" else run["seed"]
    trained = mixing.select(real.train, pool, counts, seed, real.more)
    assert sources(real, **changes) == {item.sha256 for item in trained if item.origin == "real"}


def test_redrawn_validation_images_are_no_sources() -> None:
    real = dataset()
    run = settings(1.0, replicate="full", seed=5)
    redrawn = real_share.redrawn(real, run)
    assert real_share.redrawn(real, settings()) is real
    assert {item.sha256 for item in redrawn.val} != {item.sha256 for item in real.val}
    assert not sources(redrawn, real=1.0, replicate="full", seed=5) & {item.sha256 for item in redrawn.val}


@pytest.mark.parametrize("changes", [{"real": 0.0}, {"real": 0.0, "debug": True}], ids=str)
def test_arm_without_real_images_cannot_be_guided(changes: dict[str, Any]) -> None:
    with pytest.raises(
        UserError, match=r"generator=painter starts from real images of the arm, and real=0 .* has none of cat, dog"
    ):
        sources(dataset(), **changes)


def test_smoke_test_has_a_source_of_every_class() -> None:
    classes = [f"class{number:02d}" for number in range(30)]
    train = [sample(100 * label + number, name, label) for label, name in enumerate(classes) for number in range(5)]
    real = RealImages(classes, train, [], [])
    images = real_share.source_images(real, settings(0.4, debug=True), Guided())
    assert images is not None
    assert all(images.by_class[name] for name in classes)


def test_generator_that_is_not_guided_gets_no_sources() -> None:
    for generator in (Painter(), FolderGenerator("pool")):
        assert real_share.source_images(dataset(), settings(0.0), generator) is None


@pytest.mark.parametrize("split", ["val", "test"])
def test_held_out_images_are_refused_by_content(split: str) -> None:
    real = dataset()
    leak = real.splits[split][0]
    renamed = Sample(Path("train/cat/renamed.png"), 0, "cat", "real", leak.sha256)
    leaking = RealImages(real.classes, [*real.train, renamed], real.val, real.test, real.more)
    with pytest.raises(UserError, match=rf"renamed\.png  =  {split}: {leak.path}"):
        real_share.source_images(leaking, settings(1.0), Guided())


def test_arm_is_built_from_images_of_its_own_share(tmp_path: Path) -> None:
    """The set of an arm is made from its sources, and a run of another seed has a set of its own."""
    from tests.factories.images import write_dataset
    from tests.generation.test_source_images import Tracer

    root = write_dataset(tmp_path / "photos", train=5)
    run = {**commands.settings(root, tmp_path / "outputs", 0.4, 0.6), "replicate": "images", "debug": False}
    data = build.read_real(run["dataset"], tmp_path / "outputs")
    generator = Tracer()
    images = real_share.source_images(data.real, run, generator)
    synthetic = build.synthetic_images(run, "photos", "set", generator, sources=images)
    with pytest.raises(UserError, match="synthetic images are real ones"):  # since it returns them as they are
        build.build(data, run["mix"], run["seed"], synthetic)
    assert images is not None
    allowed = {item.sha256 for samples in images.by_class.values() for item in samples}
    rows = synthetic.rows()  # type: ignore[attr-defined]
    assert len(allowed) == 4
    assert {row.source_sha256 for row in rows} == allowed
