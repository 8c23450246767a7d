"""What a run asks of Lightning: evaluations of all images, an epoch to choose, no messages."""

import warnings
from typing import Any

import pytest
import pytorch_lightning as lightning

from synthaug.errors import UserError
from synthaug.models.classifier import Classifier
from synthaug.training import lightning_rules
from tests.factories.commands import NETWORK


def trainer(**arguments: Any) -> lightning.Trainer:
    fixed = {"logger": False, "enable_checkpointing": False, "accelerator": "cpu", "devices": 1}
    lightning_rules.quiet_libraries()
    return lightning.Trainer(**{**fixed, "max_epochs": 4, **arguments})


def test_networks_are_built_without_a_warning() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lightning_rules.quiet_libraries()
        Classifier(["a", "b"], backbone="googlenet")
    assert not caught


def test_the_defaults_evaluate_all_images() -> None:
    lightning_rules.require_whole_evaluation(trainer())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit_val_batches", 1),
        ("limit_val_batches", 0.5),
        ("limit_test_batches", 2),
        ("check_val_every_n_epoch", 2),
        ("val_check_interval", 2),
        ("max_epochs", -1),
    ],
)
def test_trainer_arguments_that_evaluate_a_part_are_refused(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"trainer\.{name}={value}: "):
        lightning_rules.require_whole_evaluation(trainer(**{name: value}))


def test_all_of_them_are_named_at_once() -> None:
    with pytest.raises(UserError) as caught:
        lightning_rules.require_whole_evaluation(trainer(limit_val_batches=2, check_val_every_n_epoch=3))
    assert all(key in str(caught.value) for key in ("trainer.limit_val_batches=2", "trainer.check_val_every_n_epoch=3"))


@pytest.mark.parametrize(("pretrain_epochs", "refused"), [(0, False), (3, False), (4, True), (5, True)])
def test_pretraining_must_leave_an_epoch(pretrain_epochs: int, refused: bool) -> None:
    model = Classifier(["a", "b"], backbone=NETWORK, pretrain_epochs=pretrain_epochs)
    if not refused:
        lightning_rules.require_fine_tuning(model, trainer())
        return
    with pytest.raises(UserError, match=rf"model\.pretrain_epochs={pretrain_epochs}: .*trainer\.max_epochs=4"):
        lightning_rules.require_fine_tuning(model, trainer())


def test_a_trainer_of_several_nodes_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    lightning_rules.require_nodes(trainer())
    with pytest.raises(UserError, match=r"trainer\.num_nodes=2: .*MASTER_ADDR"):
        lightning_rules.require_nodes(trainer(num_nodes=2))
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    lightning_rules.require_nodes(trainer(num_nodes=2))


@pytest.mark.parametrize(
    ("arguments", "batches", "refused"),
    [
        ({}, 5, None),
        ({}, 0, None),  # said where images are counted
        ({"limit_train_batches": 0.19}, 5, "limit_train_batches=0.19"),
        ({"limit_train_batches": 0.2}, 5, None),
        ({"limit_train_batches": 2, "max_steps": 2}, 5, None),
        ({"max_steps": 4}, 5, "max_steps=4"),
        ({"max_steps": 5}, 5, None),
        ({"max_steps": 1, "accumulate_grad_batches": 3}, 4, "max_steps=1"),
        ({"max_steps": 2, "accumulate_grad_batches": 3}, 4, None),
    ],
)
def test_the_steps_of_a_run_must_make_an_epoch(arguments: dict[str, Any], batches: int, refused: str | None) -> None:
    limited = trainer(**arguments)
    if refused is None:
        lightning_rules.require_whole_epoch(limited, batches)
        return
    with pytest.raises(UserError, match=rf"trainer\.{refused}: "):
        lightning_rules.require_whole_epoch(limited, batches)
