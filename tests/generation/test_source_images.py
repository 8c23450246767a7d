"""Real images that guide a generator: each equally often, recorded, and refused once they have changed."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synthaug.data.samples import Sample, scan
from synthaug.errors import UserError
from synthaug.files import read_json
from synthaug.generation.source_images import SourceImages
from synthaug.generation.synthetic_set import SyntheticSet
from tests.factories.images import SPLIT_FOLDERS, sample, write_dataset
from tests.generation.test_synthetic_set import Painter


class Tracer(Painter):
    """Returns the real image that guides it, and remembers all of them."""

    is_guided = True

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[Image.Image] = []

    def sample(
        self, prompts: Sequence[str], seeds: Sequence[int], sources: Sequence[Image.Image] | None = None
    ) -> list[Image.Image | str]:
        assert sources is not None
        self.sources += sources
        return list(sources)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "photos", train=3)


def sources_of(root: Path) -> SourceImages:
    real = scan(root, SPLIT_FOLDERS)
    return SourceImages(root, {name: [s for s in real.train if s.class_name == name] for name in real.classes})


def images_of(root: Path, painter: Painter | None = None) -> SyntheticSet:
    return SyntheticSet(root.parent / "set", painter or Tracer(), sources=sources_of(root))


@given(st.integers(1, 12), st.integers(1, 60), st.randoms())
@settings(max_examples=50, deadline=None)
def test_every_source_is_used_equally_often_up_to_once(available: int, count: int, random: Random) -> None:
    listed = [sample(number) for number in range(available)]
    shuffled = sorted(listed, key=lambda _: random.random())
    sources, again = (SourceImages(Path(), {"cat": samples}) for samples in (listed, shuffled))
    chosen = [sources.source("cat", index).sha256 for index in range(count)]
    used = Counter(dict.fromkeys((item.sha256 for item in listed), 0))
    used.update(chosen)
    assert max(used.values()) - min(used.values()) <= 1
    assert chosen == [again.source("cat", index).sha256 for index in range(count)], "the order of the list is no matter"
    assert chosen[::-1] == [again.source("cat", index).sha256 for index in reversed(range(count))]


def test_sources_come_in_another_order_each_time_and_in_each_class() -> None:
    cats = [sample(number) for number in range(20)]
    dogs = [Sample(cat.path, 1, "dog", cat.origin, cat.sha256) for cat in cats]
    sources = SourceImages(Path(), {"cat": cats, "dog": dogs})
    orders = [
        tuple(sources.source(name, index).sha256 for index in range(turn * 20, turn * 20 + 20))
        for name in ("cat", "dog")
        for turn in range(3)
    ]
    assert len(set(orders)) == 6
    assert len({frozenset(order) for order in orders}) == 1


def test_source_of_each_image_is_used_and_recorded(root: Path) -> None:
    painter = Tracer()
    synthetic = images_of(root, painter)
    assert synthetic.ensure({"cat": 4, "dog": 2}) == 6
    rows = synthetic.rows()
    assert len(painter.sources) == len(rows) == 6
    for row in rows:
        (source,) = (s for s in scan(root, SPLIT_FOLDERS).train if s.sha256 == row.source_sha256)
        assert source.class_name == row.class_name
        assert row.source == source.path.relative_to(root).as_posix()
        with (
            Image.open(source.path) as real,
            Image.open(synthetic.folder / row.class_name / f"{row.index:06d}.png") as saved,
        ):
            assert np.array_equal(np.asarray(real), np.asarray(saved))
    assert sorted(Counter(row.source for row in rows if row.class_name == "cat").values()) == [1, 1, 2]
    assert read_json(synthetic.folder / "set.json")["sources"] == sources_of(root).digest
    assert images_of(root).ensure({"cat": 6, "dog": 2}) == 2


def test_set_without_guidance_records_no_source(tmp_path: Path) -> None:
    synthetic = SyntheticSet(tmp_path, Painter())
    synthetic.ensure({"cat": 2})
    assert {(row.source, row.source_sha256) for row in synthetic.rows()} == {("", "")}
    assert "sources" not in read_json(tmp_path / "set.json")


def test_guided_generator_without_sources_generates_nothing(root: Path) -> None:
    images_of(root).ensure({"cat": 2, "dog": 2})
    unknown = SyntheticSet(root.parent / "set", Tracer())
    unknown.check({"cat": 5, "dog": 5})
    assert len(unknown.samples(["cat", "dog"])) == 4, "what exists can be read"
    with pytest.raises(UserError, match="guided by real images"):
        unknown.ensure({"cat": 5, "dog": 5})


@pytest.mark.parametrize("kind", ["deleted", "changed", "another"])
def test_changed_sources_are_refused_and_named(root: Path, kind: str) -> None:
    images_of(root).ensure({"cat": 4, "dog": 4})
    target = root / "train/cat/001.png"
    if kind == "deleted":
        target.unlink()
    else:
        Image.new("RGB", (20, 16), "red").save(target if kind == "changed" else root / "train/cat/new.png")
    changed = images_of(root)
    for use in (lambda: changed.check({"cat": 9, "dog": 9}), lambda: changed.samples(["cat", "dog"])):
        with pytest.raises(UserError, match="guided by other real images") as caught:
            use()
        named = "train/cat/001.png is gone or has changed" in str(caught.value)
        assert named == (kind != "another"), str(caught.value)
        assert "generator.name=" in str(caught.value)


def test_source_that_changes_while_images_are_generated_is_named(root: Path) -> None:
    synthetic = images_of(root)
    (root / "train/dog/002.png").write_bytes(b"?")
    with pytest.raises(UserError, match=r"train/dog/002\.png.*its content is not what was listed"):
        synthetic.ensure({"cat": 3, "dog": 3})
    assert {row.class_name for row in synthetic.rows()} == {"cat"}
