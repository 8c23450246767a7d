"""The loss: plain by default, and what smoothing, weights and blends make of it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from synthaug.models.loss import Objective, option_problems

CLASSES = 3


def batch(size: int = 8, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, labels, which are synthetic, and logits for them."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(size, 3, 6, 6, generator=generator)
    labels = torch.randint(CLASSES, (size,), generator=generator)
    synthetic = torch.arange(size) % 2 == 0
    return images, labels, synthetic, torch.randn(size, CLASSES, generator=generator)


def loss_of(objective: Objective, size: int = 8) -> float:
    images, labels, synthetic, logits = batch(size)
    _, targets = objective.examples(images, labels, synthetic)
    return float(objective.loss(logits, targets)[0])


def test_by_default_it_is_the_mean_cross_entropy_to_the_last_bit() -> None:
    images, labels, synthetic, logits = batch()
    before = torch.get_rng_state()
    shown, targets = Objective(CLASSES).examples(images, labels, synthetic)
    loss, mass = Objective(CLASSES).loss(logits, targets)
    assert shown is images
    assert targets is labels
    assert torch.equal(loss, torch.nn.CrossEntropyLoss()(logits, labels))
    assert mass == 8
    assert torch.equal(torch.get_rng_state(), before)


def test_smoothing_is_that_of_pytorch() -> None:
    _, labels, _, logits = batch()
    expected = float(cross_entropy(logits, labels, label_smoothing=0.2))
    assert loss_of(Objective(CLASSES, label_smoothing=0.2)) == pytest.approx(expected, rel=1e-6)


def test_synthetic_examples_weigh_what_they_are_said_to() -> None:
    _, labels, synthetic, logits = batch()
    each = cross_entropy(logits, labels, reduction="none")
    weights = torch.where(synthetic, 0.25, 1.0)
    expected = float((each * weights).sum() / weights.sum())
    assert loss_of(Objective(CLASSES, synthetic_weight=0.25)) == pytest.approx(expected, rel=1e-6)


def test_balanced_classes_weigh_the_inverse_of_their_number() -> None:
    images, labels, synthetic, logits = batch()
    objective = Objective(CLASSES, class_weights="balanced")
    objective.weigh_classes([0] * 6 + [1] * 3 + [2])
    weights = torch.tensor([10 / 18, 10 / 9, 10 / 3])
    loss, mass = objective.loss(logits, objective.examples(images, labels, synthetic)[1])
    assert float(loss) == pytest.approx(float(cross_entropy(logits, labels, weight=weights)), rel=1e-6)
    assert float(mass) == pytest.approx(float(weights[labels].sum()))


@given(st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=30))
def test_balanced_classes_have_the_same_mass(labels: list[int]) -> None:
    objective = Objective(CLASSES, class_weights="balanced")
    objective.weigh_classes(labels)
    masses = {label: labels.count(label) * float(objective.weight_of_class[label]) for label in labels}
    assert list(masses.values()) == pytest.approx([len(labels) / CLASSES] * len(masses))


def test_weights_of_classes_have_a_name() -> None:
    assert option_problems(None) == option_problems("balanced") == []
    assert "model.class_weights=inverse" in option_problems("inverse")[0]


def test_a_weight_that_all_share_changes_nothing() -> None:
    images, labels, _, logits = batch()
    every = torch.ones(8, dtype=torch.bool)
    objective = Objective(CLASSES, synthetic_weight=0.25)
    loss, mass = objective.loss(logits, objective.examples(images, labels, every)[1])
    assert float(loss) == pytest.approx(float(cross_entropy(logits, labels)), rel=1e-6)
    assert float(mass) == pytest.approx(2)


@given(
    st.integers(1, 9),
    st.floats(0, 0.9),
    st.sampled_from([0, 0.2, 1]),  # as they are typed: 1 comes as an integer
    st.sampled_from([0, 0.2, 1]),
    st.floats(0.01, 10),
)
def test_blending_moves_mass_and_loses_none(
    size: int, smoothing: float, mixup: float, cutmix: float, weight: float
) -> None:
    images, labels, synthetic, _ = batch(size)
    objective = Objective(CLASSES, smoothing, mixup, cutmix, weight)
    if objective.is_plain:
        return
    shown, targets = objective.examples(images, labels, synthetic)
    assert shown.shape == images.shape
    assert targets.shape == (size, CLASSES)
    assert bool((targets >= 0).all())
    smooth = torch.eye(CLASSES)[labels] * (1 - smoothing) + smoothing / CLASSES
    expected = smooth * torch.where(synthetic, weight, 1.0)[:, None]
    torch.testing.assert_close(targets.sum(dim=0), expected.sum(dim=0), rtol=1e-4, atol=1e-5)


def test_mixup_blends_images_and_targets_by_one_share() -> None:
    images, _, synthetic, _ = batch()
    labels = torch.arange(8) % CLASSES  # so that neighbours differ
    one_hot = torch.eye(CLASSES)[labels]
    torch.manual_seed(3)
    shown, targets = Objective(CLASSES, mixup=1.0).examples(images, labels, synthetic)
    share = float(targets[0, labels[0]])
    assert 0.01 < share < 0.99
    torch.testing.assert_close(shown, share * images + (1 - share) * images.roll(1, 0))
    torch.testing.assert_close(targets, share * one_hot + (1 - share) * one_hot.roll(1, 0))


def test_cutmix_takes_every_pixel_from_one_of_two_images() -> None:
    images, labels, synthetic, _ = batch()
    torch.manual_seed(0)
    shown, targets = Objective(CLASSES, cutmix=1.0).examples(images, labels, synthetic)
    pasted = shown == images.roll(1, 0)
    assert bool((pasted | (shown == images)).all())
    area = float(pasted[0, 0].float().mean())
    assert 0 < area < 1
    one_hot = torch.eye(CLASSES)[labels]
    torch.testing.assert_close(targets, (1 - area) * one_hot + area * one_hot.roll(1, 0), rtol=1e-4, atol=1e-5)


def test_both_blends_take_turns_at_random_and_repeat_with_the_seed() -> None:
    images, labels, synthetic, _ = batch()
    objective = Objective(CLASSES, mixup=1.0, cutmix=1.0)

    def kinds() -> str:
        torch.manual_seed(0)
        seen = ""
        for _ in range(40):
            shown, _ = objective.examples(images, labels, synthetic)
            whole = bool(((shown == images) | (shown == images.roll(1, 0))).all())
            seen += "c" if whole else "m"
        return seen

    first = kinds()
    assert 8 <= first.count("m") <= 32
    assert first == kinds()
