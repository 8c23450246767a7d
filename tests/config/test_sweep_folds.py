"""Folds of a sweep and of a single run: who adds them, and what does not go with them."""

from pathlib import Path

import pytest

from synthaug.errors import UserError
from tests.factories.commands import jobs_of
from tests.factories.images import write_dataset


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def places(*typed: str) -> list[tuple[str, str]]:
    """The arm and the last folder of each run."""
    return [(job.arm, job.folder.name) for job in jobs_of(*typed)]


def refusal(*typed: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        jobs_of(*typed)
    return [line.removeprefix("  - ") for line in str(caught.value).splitlines()[1:]]


@pytest.mark.parametrize("switch", ["folds=2", "++folds=2"])
def test_a_sweep_has_every_fold_of_each_seed_and_arm(switch: str) -> None:
    every = [f"seed{seed}-fold{fold}" for seed in (0, 1) for fold in (0, 1)]
    jobs = jobs_of("-m", "mix=real,64", switch, "seed=0,1")
    assert [(job.arm, job.folder.name) for job in jobs] == [(arm, place) for arm in ("real", "64") for place in every]
    assert len({job.folder.parent for job in jobs}) == 2, "seed and fold tell no arm apart"
    assert jobs[0].folder.parent.name != jobs_of("mix=real")[0].folder.parent.name, "the number of folds does"


def test_a_sweep_of_one_arm_and_controls_have_every_fold() -> None:
    assert places("-m", "mix=real", "folds=2") == [("real", "seed0-fold0"), ("real", "seed0-fold1")]
    arms = [arm for arm, _ in places("-m", "mix=64", "controls=true", "folds=2")]
    assert arms == ["64", "64", "real40", "real40"]


def test_a_fold_may_be_chosen() -> None:
    assert places("mix=64", "folds=3", "fold=1") == [("64", "seed0-fold1")]
    assert places("-m", "mix=64", "folds=3", "fold=0,2") == [("64", "seed0-fold0"), ("64", "seed0-fold2")]
    (job,) = jobs_of("mix=64", "folds=3", "fold=1")
    assert job.fold is not None
    assert (job.fold.count, job.fold.number) == (3, 1)
    assert jobs_of("mix=64")[0].fold is None


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        (["folds=3"], "folds=3"),
        (["fold=1"], "fold=1"),
        (["folds=3", "fold=3"], "fold=3"),
        (["folds=1", "fold=0"], "folds=1"),
        (["folds=3", "fold=-1"], "fold=-1"),
        (["-m", "mix=real,64", "folds=1"], "folds=1"),
        (["-m", "mix=real,64", "folds=3,2"], "folds=3,2"),
        (["-m", "mix=real,64", "folds=many"], "folds=many"),
        (["folds=3", "fold=0", "shift=corruptions"], "folds=3, shift"),
        (["folds=3", "fold=0", "dataset.groups=groups.csv"], "folds=3, dataset.groups"),
    ],
)
def test_what_does_not_go_together_is_said_once(typed: list[str], key: str) -> None:
    (line,) = refusal(*typed)
    assert line.startswith(f"{key}:")


def test_folds_need_no_folder_of_test_images(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "photos")
    (root / "test").rename(tmp_path / "elsewhere")
    own = ["dataset=imagefolder", f"dataset.root={root}", "dataset.split=null"]
    assert any("test" in line for line in refusal("mix=real", *own))
    assert places("mix=real", *own, "folds=2", "fold=0") == [("real", "seed0-fold0")]
