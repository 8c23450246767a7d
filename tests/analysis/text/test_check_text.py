"""Sentences on checks: every code and outcome in one golden file."""

import re
from typing import Any

from synthaug.analysis.text import check_text
from synthaug.analysis.text.templating import TEMPLATES
from synthaug.analysis.validity.check_result import INFORMATION, PASSED, SERIOUS, UNCHECKED, WARNING, Check
from tests.factories.golden import assert_golden

FAILED = {"code": "failed", "data": {"type": "ValueError", "error": "loss is nan", "when": ""}}
LEFT_OUT = [{"run": f"64-seed{seed}", "state": "failed", "reason": FAILED} for seed in range(7)]
UNLISTED = [
    {"code": "no_images_of_origin", "data": {"origin": "real"}},
    {"code": "unreadable_mix", "data": {"run": "64-seed0", "error": "'label'"}},
]
FACTS = {
    "model.lr": [{"value": "0.002", "runs": ["82-seed0"]}, {"value": "0.001", "runs": ["real", "55", "64", "73"]}],
    "optimizer": [{"value": "x" * 80, "runs": ["real"]}, {"value": "sgd", "runs": ["55", "64"]}],
}
MANY_FACTS = {f"model.key{number}": FACTS["optimizer"] for number in range(8)}
MANY_VALUES = {"lr": [{"value": f"{n}", "runs": [f"64-seed{n}"]} for n in range(6)] + [FACTS["model.lr"][1]]}
DIGESTS = {"digest": [{"value": "a" * 12, "runs": ["real"]}, {"value": "b" * 12, "runs": ["64"]}]}
AUC = {"value": 0.99, "low": 0.98, "high": 0.996}
ORIGIN = {"accuracy": 0.97, "low": 0.95, "high": 0.99, "auc": AUC, "images": 400}
FORMATS = {"real": {"JPEG in RGB": 390, "PNG in L": 10}, "synthetic": {"PNG in RGB": 400}}
SIZES = {
    "real": {"width": 640.0, "height": 480.0, "bytes": 45678.9},
    "synthetic": {"width": 512.0, "height": 512.0, "bytes": 612345.0},
}
OVERLAP = {
    "origin": "real", "train": 2000, "train_total": 45000, "test": 300, "test_total": 300, "copied": 2, "exact": 1,
    "pairs": 4, "other_class": 1, "examples": [{"train": "data/train/cat/1.jpg", "test": "data/test/cat/9.jpg"}],
}  # fmt: skip
DUPLICATES = {"test": 1500, "images": 5, "clusters": 2, "largest": 3, "examples": [["test/1/a.png", "test/1/b.png"]]}
NO_OVERLAP = OVERLAP | {"copied": 0, "exact": 0, "pairs": 0, "other_class": 0, "examples": []}
RUNS = {"planned": 10, "left_out": [], "empty_arms": [], "failed": False, "rerun": False}
UNEQUAL = {"run": "64-seed0", "least": "dog", "low": 0.2, "most": "cat", "high": 0.6}
POWER_64 = {"arm": "64", "smallest": 2.3}
SEEDS: dict[str, Any] = {"baseline": [0, 1], "some": {}, "none": {}, "unequal_sums": []}

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("runs", PASSED, RUNS),
    ("runs", WARNING, RUNS | {"left_out": LEFT_OUT[:1], "failed": True, "rerun": True}),
    ("runs", SERIOUS, RUNS | {"left_out": LEFT_OUT, "empty_arms": ["64"], "failed": True, "rerun": True}),
    ("runs", WARNING, RUNS | {"left_out": LEFT_OUT[:2]}),
    ("training_length", PASSED, {"low": 1248, "high": 1248, "shortest": [], "longest": []}),
    ("training_length", SERIOUS, {"low": 248, "high": 1000, "shortest": ["real40"], "longest": ["5", "6", "7", "8"]}),
    ("filled_classes", WARNING, {"runs": [UNEQUAL] * 4}),
    ("adapters", PASSED, {"runs": []}),
    ("adapters", SERIOUS, {"runs": [{"run": "64-seed0", "folder": "adapters/mine", "images": 20, "foreign": 12}]}),
    ("feedback_shares", INFORMATION, {"runs": [UNEQUAL] * 4}),
    ("class_shares", PASSED, {"runs": []}),
    ("class_shares", SERIOUS, {"runs": [UNEQUAL] * 4}),
    ("versions", PASSED, {"facts": {}}),
    ("versions", WARNING, {"facts": FACTS}),
    ("versions", WARNING, {"facts": MANY_FACTS}),
    ("versions", WARNING, {"facts": MANY_VALUES}),
    ("validation_images", PASSED, {"facts": {}}),
    ("validation_images", SERIOUS, {"facts": DIGESTS}),
    ("real_images", PASSED, {"facts": {}}),
    ("real_images", SERIOUS, {"facts": DIGESTS}),
    ("machine", PASSED, {"facts": {}}),
    ("machine", WARNING, {"facts": {"cpu": FACTS["optimizer"]}}),
    ("versions", PASSED, {"facts": {}}),
    ("versions", WARNING, {"facts": {"torch": FACTS["model.lr"]}}),
    ("recorded_accuracy", PASSED, {"runs": []}),
    ("recorded_accuracy", WARNING, {"runs": [{"run": "64-seed0", "recorded": 0.5, "computed": 0.9513}] * 4}),
    ("smoke_test", SERIOUS, {"runs": ["real-seed0", "64-seed0"]}),
    (
        "run_files",
        SERIOUS,
        {"files": [{"run": f"64-seed{seed}", "file": "mix.csv", "error": "it was cut"} for seed in range(5)]},
    ),
    ("unreadable_images", PASSED, {"most": 0, "runs": []}),
    ("unreadable_images", WARNING, {"most": 1, "runs": ["64-seed0"]}),
    ("unreadable_images", WARNING, {"most": 3, "runs": ["64-seed0", "64-seed1"]}),
    ("baseline", PASSED, {"planned": True}),
    ("baseline", SERIOUS, {"planned": False}),
    ("controls", PASSED, {"arms": []}),
    ("controls", SERIOUS, {"arms": ["55", "64"]}),
    ("power", PASSED, {"margin": 1.0, "arms": [], "compared": 2}),
    ("power", WARNING, {"margin": 1.0, "arms": [{"arm": "64", "smallest": 1.004}], "compared": 2}),
    ("power", SERIOUS, {"margin": 1.0, "arms": [POWER_64, {"arm": "82", "smallest": None}], "compared": 2}),
    ("augmentation", WARNING, {"arms": {"strong": "erasing 0.25, policy trivial"}}),
    ("selection", PASSED, {"arms": {}, "n_real": 1000, "n_selection": 0}),
    ("selection", WARNING, {"arms": {"64": 400}, "n_real": 1000, "n_selection": 500}),
    ("selection", WARNING, {"arms": {"64": 400, "82": 200}, "n_real": 1000, "n_selection": 500}),
    ("seeds", PASSED, {"fewest": 5, "arms": ["real", "64"], "all_arms": True}),
    ("seeds", WARNING, {"fewest": 3, "arms": ["real", "64"], "all_arms": True}),
    ("seeds", WARNING, {"fewest": 2, "arms": ["64"], "all_arms": False}),
    ("seeds", SERIOUS, {"fewest": 1, "arms": ["55", "64"], "all_arms": False}),
    ("pretraining", PASSED, {"models": []}),
    ("pretraining", WARNING, {"models": [{"kind": "generator", "name": "sd15", "corpus": "LAION-2B"}]}),
    ("seed_variance", PASSED, {"arm": "64", "ratio": 1.2, "p_value": 0.4}),
    ("seed_variance", WARNING, {"arm": "64", "ratio": 3.7, "p_value": 0.012}),
    ("references", PASSED, {"arms": []}),
    ("references", WARNING, {"arms": [{"arm": "64 · vit", "reference": "real", "settings": ["lr", "model.name"]}]}),
    ("paired_seeds", PASSED, SEEDS),
    ("paired_seeds", WARNING, SEEDS | {"some": {"55": [1]}, "none": {"64": [2, 3]}, "unequal_sums": ["73"]}),
    ("chance", PASSED, {"arms": [], "share": 0.1}),
    ("chance", SERIOUS, {"arms": ["55", "64"], "share": 0.1}),
    ("origin_by_format", PASSED, ORIGIN | FORMATS),
    ("origin_by_format", SERIOUS, ORIGIN | FORMATS),
    ("origin_by_size", WARNING, ORIGIN | SIZES),
    ("origin_by_pixels", SERIOUS, ORIGIN),
    ("origin_by_pixels", UNCHECKED, {"images": 1, "needed": 20, "missing": 50}),
    ("origin_by_pixels", UNCHECKED, {"unlisted": UNLISTED}),
    ("near_duplicates", PASSED, DUPLICATES | {"images": 0, "clusters": 0, "largest": 1, "examples": []}),
    ("near_duplicates", WARNING, DUPLICATES),
    ("overlap_real", PASSED, NO_OVERLAP),
    ("overlap_real", SERIOUS, OVERLAP),
    ("overlap_synthetic", SERIOUS, OVERLAP | {"origin": "synthetic", "other_class": 0, "pairs": 1}),
    ("overlap_synthetic", UNCHECKED, {"unavailable": "test"}),
    ("overlap_real", UNCHECKED, {"unavailable": "real"}),
    ("files", PASSED, {"missing": 0, "examples": []}),
    ("files", WARNING, {"missing": 4, "examples": ["data/train/cat/1.jpg"]}),
    ("test_images", PASSED, {"recorded": "a" * 64, "current": "a" * 64}),
    ("test_images", WARNING, {"recorded": "a" * 64, "current": "b" * 64}),
]  # fmt: skip


def test_wording() -> None:
    lines = []
    for code, severity, data in CASES:
        text = check_text.check_text(Check(code, severity, data))
        assert text.severity == severity
        lines += [
            f"[{code}, {severity}] {text.title}",
            *([text.message] if text.message else []),
            *([f"Remedy: {text.remedy}"] if text.remedy else []),
            "",
        ]
    assert_golden("checks.txt", "\n".join(lines))


def test_every_code_has_a_case() -> None:
    macros = re.findall(r"macro ([a-z]\w+)\(d\)", (TEMPLATES / "checks.md.j2").read_text(encoding="utf-8"))
    codes = {code for code, _, data in CASES if "facts" not in data}
    assert codes == {*macros, "overlap_synthetic"} - {"differing", "unchecked"}


def test_lines_are_of_serious_checks_and_warnings() -> None:
    checks = [
        Check("seeds", SERIOUS, {"fewest": 1, "arms": ["64"], "all_arms": False}),
        Check("files", PASSED),
        Check("files", WARNING, {"missing": 1, "examples": ["a"]}),
    ]
    checks.append(Check("files", UNCHECKED, {"unavailable": "test"}))
    assert [line.partition(":")[0] for line in check_text.check_lines(checks)] == ["Serious", "Warning"]


def test_arms_in_a_check_are_called_by_their_labels() -> None:
    check = Check("x", WARNING, {"arms": ["a", {"a": 1.0, "b": ("a", 2)}], "name": "a", "class": "b"})
    assert check_text._labelled(check.data, {"a": "A"}) == {
        "arms": ["A", {"A": 1.0, "b": ["A", 2]}],
        "name": "A",
        "class": "b",
    }
