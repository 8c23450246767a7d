"""debug=true: another study, two epochs, and otherwise the same run."""

from pathlib import Path

from synthaug.runs import identity
from tests.factories.commands import jobs_of


def test_a_smoke_test_is_a_study_of_its_own_of_two_epochs() -> None:
    arguments = ("trainer.max_epochs=25", "model.pretrain_epochs=10", "model.warmup_epochs=5", "mix=64")
    (job,) = jobs_of(*arguments, "debug=true")
    (tried,) = jobs_of(*arguments)
    assert (job.study, tried.study) == (Path("outputs/default-debug"), Path("outputs/default"))
    assert (job.key.dataset, job.key.seed, job.arm) == (tried.key.dataset, tried.key.seed, tried.arm)
    for settings in (job.settings, job.recorded):
        assert (settings["trainer"]["max_epochs"], settings["model"]["pretrain_epochs"]) == (2, 1)
        assert settings["model"]["warmup_epochs"] == 1
        assert settings["experiment"] == "default-debug"
    changed = identity.differing_settings(tried.settings, job.settings)
    assert set(changed) == {"trainer.max_epochs", "model.pretrain_epochs", "model.warmup_epochs"}


def test_runs_of_before_the_key_are_the_same() -> None:
    (job,) = jobs_of()
    assert (
        identity.differing_settings(
            {name: job.settings[name] for name in job.settings if name != "debug"}, job.settings
        )
        == {}
    )


def test_a_sweep_logs_into_the_study_of_the_smoke_test() -> None:
    jobs = jobs_of("-m", "mix=real,64", "debug=true", "experiment=tried")
    assert {job.study for job in jobs} == {Path("outputs/tried-debug")}
