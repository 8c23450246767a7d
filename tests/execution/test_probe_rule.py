"""Which settings are those of a head that is trained on features computed once."""

import pytest

from synthaug.config import schema
from synthaug.execution.probe_rule import trains_head_alone
from tests.factories.commands import jobs_of


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    schema.register()


@pytest.mark.parametrize("model", ["probe", "clip_probe", "dinov2_probe", "dinov3_probe", "siglip_probe"])
def test_the_probes_that_are_shipped_do(model: str) -> None:
    (job,) = jobs_of(f"model={model}")
    assert trains_head_alone(job.settings)


@pytest.mark.parametrize(
    "argument",
    [
        "model.train_stages=1",
        "model.views=null",
        "model.weights=null",
        "+model.unfreeze_every=1",
        "+model.head_dropout=0.2",
        "+model.head_batch_norm=true",
        "+model.batch_norm=per_origin",
        "+model.mixup=0.2",
        "+model.cutmix=0.2",
        "+model.ema=0.9",
        "trainer.devices=2",
        "trainer=ddp",
        "+trainer.max_steps=3",
        "+trainer.gradient_clip_val=1",
        "feedback=error",
    ],
)
def test_whatever_trains_more_or_otherwise_does_not(argument: str) -> None:
    (job,) = jobs_of("model=probe", "mix=64", argument)
    assert not trains_head_alone(job.settings)


@pytest.mark.parametrize(
    "argument",
    [
        "model.lr=0.1",
        "+model.mixup=0",
        "+trainer.gradient_clip_val=null",
        "trainer=cpu",
        "trainer.precision=bf16-mixed",
    ],
)
def test_what_changes_nothing_of_that_does(argument: str) -> None:
    (job,) = jobs_of("model=probe", "mix=64", argument)
    assert trains_head_alone(job.settings)
