"""Sentences on the arms: the wording of every case in one golden file."""

import dataclasses

from synthaug.analysis.comparison.model import NonInferiority, Reason, ShareTrend
from synthaug.analysis.text import sentences
from tests.factories.arms import make_arm, make_difference, make_group
from tests.factories.golden import assert_golden

BELOW, ABOVE = make_difference(-0.012, -0.021, -0.003), make_difference(0.012, 0.003, 0.021)
ZERO = make_difference(-0.004, -0.011, 0.003, 0.3)
UNCORRECTED = make_difference(-0.012, -0.021, -0.003, 0.083)
ONE_SEED = dataclasses.replace(BELOW.untested(), seeds=1)
NON_INFERIOR = NonInferiority("established", 0.004, 0.012)

ARMS = {
    "worse": make_arm(0.6, BELOW, non_inferiority=NonInferiority("rejected", 0.5, 0.9)),
    "non-inferior": make_arm(0.6, ABOVE, non_inferiority=NON_INFERIOR),
    "control: recovers": make_arm(
        0.6, BELOW, loss=make_difference(-0.036, -0.045, -0.027), gain=make_difference(0.024, 0.012, 0.036)
    ),
    "control: neither significant": make_arm(0.6, ZERO, loss=ZERO, gain=make_difference(0.001, -0.006, 0.008, 0.6)),
    "control: gain not significant after correction": make_arm(
        0.6, ZERO, loss=BELOW, gain=dataclasses.replace(ABOVE, adjusted_p=0.2)
    ),
    "one seed": make_arm(0.6, ONE_SEED, loss=dataclasses.replace(ONE_SEED), gain=ONE_SEED),
    "control of another number of steps": make_arm(0.6, BELOW, loss=BELOW.untested(), gain=ABOVE.untested()),
}
GROUPS = {
    "no baseline": [],
    "non-inferior": [make_arm(0.6, ZERO, non_inferiority=NON_INFERIOR)],
    "worse": [make_arm(0.8, BELOW)],
    "inconclusive": [make_arm(0.8, ZERO)],
    "significant before correction alone": [make_arm(0.8, UNCORRECTED)],
    "no replacement": [make_arm(0.6, item, real=1.0) for item in (BELOW, BELOW, ABOVE, ZERO, UNCORRECTED)],
    "one seed": [make_arm(0.8, ONE_SEED), make_arm(0.6, ONE_SEED)],
    "one arm": [make_arm(0.6, ZERO, real=1.0)],
    "several arms, none different": [make_arm(0.6, ZERO, real=1.0)] * 2,
}
REASONS = (
    Reason("missing"),
    Reason("unfinished"),
    Reason("failed", {"type": "ValueError", "error": "loss is <nan>\nat step 12", "when": "2025-01-01T10:00:00+00:00"}),
    Reason("failed", {"type": "", "error": "", "when": ""}),
    Reason("no_images_of_origin", {"origin": "synthetic"}),
    Reason("unreadable_mix", {"run": "64-seed0", "error": "'label'"}),
    Reason("unreadable_result", {"path": "shifts/noise-1/result.json", "error": "'digest'"}),
    Reason("other_format", {"format": 99, "readable": 1}),
    Reason("unreadable_predictions", {"error": "KeyError: 'b'"}),
    Reason("no_test_images"),
    Reason("other_classes", {"unexpected": ["nine"], "missing": ["9"]}),
    Reason("other_classes", {"unexpected": [], "missing": ["6", "7", "8", "9"]}),
    Reason("other_classes", {"unexpected": [], "missing": []}),
    Reason("other_test_set", {"digest": "a" * 64, "expected": "b" * 64}),
    Reason("other_test_images"),
    Reason("other_labels"),
    Reason("accuracy_not_counted", {"error": "KeyError: 'b'"}),
    Reason("epoch_not_checked", {"error": "KeyError: 'b'"}),
    Reason("training_images_unknown", {"error": "KeyError: 'b'"}),
    Reason("damaged_manifest", {"error": "manifest.csv is damaged: restore it."}),
    Reason("other_test_count", {"recorded": 1500, "counted": 1499}),
    Reason("other_metric", {"metric": "accuracy", "recorded": 0.5, "counted": 0.95125}),
    Reason("other_epoch", {"recorded": 3, "tested": 2, "accuracy": 0.9, "is_last": False}),
    Reason("other_epoch", {"recorded": 3, "tested": 4, "accuracy": None, "is_last": True}),
    Reason("other_image_count", {"class": "cat", "origin": "real", "recorded": 1000, "counted": 2}),
    Reason("other_images", {"images": "train", "recorded": "a" * 64, "computed": "b" * 64}),
    Reason("other_images", {"images": "synthetic", "recorded": "a" * 64, "computed": "b" * 64}),
)


def test_wording() -> None:
    lines = ["# arms"]
    for case, arm in ARMS.items():
        lines += [f"[{case}]", *sentences.arm_results(make_group(arm))]
    lines.append("\n# headlines")
    for case, arms in GROUPS.items():
        lines += [f"[{case}]", sentences.headline(make_group(*arms))]
    lines.append("\n# trends")
    for difference in (BELOW, ZERO):
        lines.append(sentences.trend(make_group(trend=ShareTrend(difference, ("real", "55", "64")))))
    lines.append("\n# captions")
    for seeds, same_synthetic_images in (((0,), True), ((0, 1), True), ((0, 1), False)):
        arm = make_arm(0.6, seeds=seeds, same_synthetic_images=same_synthetic_images)
        lines += [f"[{len(seeds)} seeds, one draw: {same_synthetic_images}]", *sentences.caption(make_group(arm))]
    lines += ["\n# groups", sentences.groups_note([make_group(make_arm(0.6, BELOW))] * 2)]
    lines.append("\n# reasons")
    lines += [f"[{reason.code}] {sentences.reason_text(reason)}" for reason in REASONS]
    assert_golden("sentences.txt", "\n".join(lines) + "\n")


def test_nothing_to_say_no_sentence() -> None:
    assert sentences.trend(make_group(make_arm(0.6))) == ""
    assert sentences.reason_text(None) == ""
    assert sentences.arm_results(make_group(make_arm(0.0, baseline=True))) == []
    tested, one_seed = make_group(make_arm(0.6, BELOW)), make_group(make_arm(0.6, ONE_SEED))
    assert sentences.groups_note([tested]) == sentences.groups_note([one_seed, one_seed]) == ""
