"""What feedback did: means over the runs of an arm, from what the runs recorded."""

from pathlib import Path

import pytest

from synthaug.analysis.subsets.feedback_shares import feedback_shares
from synthaug.analysis.text.document import Rows
from synthaug.analysis.text.subsets_text import feedback_document
from tests.factories.studies import MadeUp, edit_result, make_study, one_group, run_folder

ARMS = {"real": (1.0, 0.0), "64": (0.4, 0.6)}


def finished(cat: int, dog: int, score: float, accuracy: float) -> dict[str, object]:
    return {"synthetic": {"cat": cat, "dog": dog}, "scores": {"cat": score, "dog": 0.5}, "accuracy": accuracy}


def test_numbers_are_means_over_the_runs_of_the_arm(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", MadeUp(ARMS, seeds=(0, 1), classes=("cat", "dog"), n_test=60))
    assert feedback_shares(one_group(study)) == ()
    for seed, (cat, dog) in enumerate([(10, 50), (20, 40)]):
        rounds = [finished(10, 10, 0.1, 0.7), finished(10, 30, 0.2 + seed / 5, 0.8 + seed / 10)]
        counts = {"counts.per_class.cat.synthetic": cat, "counts.per_class.dog.synthetic": dog, "feedback": rounds}
        edit_result(run_folder(study, "64", seed), counts)
    (shares,) = feedback_shares(one_group(study))
    assert shares.arm == "64"
    assert shares.images == {"cat": 15, "dog": 45}
    assert shares.first_images == {"cat": 10, "dog": 10}
    assert shares.scores == {"cat": pytest.approx(0.3), "dog": 0.5}
    assert list(shares.accuracies) == pytest.approx([0.7, 0.85])
    (table,) = (block for block in feedback_document([shares], {"64": "64"}) if isinstance(block, Rows))
    assert [row[0] for row in table.rows] == ["dog", "cat"]
