"""What a configuration may call, and what Hydra's own node may say."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from synthaug.config import hydra_guard, schema, sweep
from synthaug.config.command_line import normalize_argv
from synthaug.config.targets import TooLargeError, call_problem, walk
from synthaug.errors import UserError
from synthaug.execution.session import Session
from tests.factories.commands import jobs_of


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("generator", "synthaug.generation.diffusion.DiffusionGenerator"),
        ("model", "synthaug.models.classifier.Classifier"),
        ("model.head", "torch.nn.Linear"),
        ("model.steps.0", "torch.optim.lr_scheduler.StepLR"),
        ("model.network", "torchvision.models.resnet18"),
        ("dataset.prepare", "synthaug.data.sources.digits.write_digits"),
        ("trainer", "lightning.pytorch.Trainer"),
        ("trainer.strategy", "pytorch_lightning.strategies.DDPStrategy"),
        ("logger.mine", "pytorch_lightning.loggers.CSVLogger"),
        ("shift.mine", "synthaug.arms.shifts.Folder"),
        ("hydra.launcher", "hydra._internal.core_plugins.basic_launcher.BasicLauncher"),
        ("hydra.callbacks.mine", "hydra.experimental.callbacks.LogJobReturnCallback"),
        ("generator", "tests.factories.commands.Painter"),  # of a package that the environment allows
    ],
)
def test_what_builds_may_be_called(place: str, target: str) -> None:
    if target.startswith("lightning."):
        pytest.importorskip("lightning")
    assert call_problem(f"{place}._target_", target) is None


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("generator", "torch.load"),
        ("generator", "tests.factories.commands.signal.raise_signal"),  # imported there
        ("generator", "tests.factories.commands.Commands.attach"),  # of a class
        ("model", "synthaug.models.classifier.Classifier.load_from_checkpoint"),
        ("model", "synthaug.models.classifier.Path"),
        ("model", "torchvision.models.resnet.load_state_dict_from_url"),
        ("model", "torchvision.models.get_model"),
        ("model.part", "synthaug.data.sources.digits.write_digits"),  # writes, and is allowed in one place only
        ("model.part", "torch.nn.modules.module.OrderedDict"),
        ("dataset.prepare", "synthaug.files.remove_unfinished"),
        ("trainer", "runpy.run_path"),
        ("logger.mine", "builtins.exec"),
        ("shift.mine", "synthaug.files.write_text"),
        ("hydra.sweeper", "subprocess.check_output"),
        ("hydra.callbacks.mine", "torch.nn.Linear"),
        ("hydra.launcher.executor", "shutil.rmtree"),
        ("generator", "synthaug.generation.diffusion.DiffusionGenerator.sample"),
        ("generator", 5),
    ],
)
def test_what_does_not_build_is_refused(place: str, target: object) -> None:
    assert call_problem(f"{place}._target_", target)


def test_only_the_environment_allows_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    key, target = "generator._target_", "tests.factories.commands.Painter"
    monkeypatch.setenv("SYNTHAUG_TARGETS", "tests.factories.images, other")
    problem = call_problem(key, target)
    assert problem
    assert "SYNTHAUG_TARGETS=tests" in problem
    monkeypatch.setenv("SYNTHAUG_TARGETS", "other,tests.factories")
    assert call_problem(key, target) is None
    assert "SYNTHAUG" not in (call_problem(key, "os.remove") or "SYNTHAUG")


@pytest.mark.parametrize(
    ("overrides", "keys"),
    [
        (["model.part={_target_: os.remove}", "sede=1"], ["model.part._target_=os.remove", "sede=1"]),
        (["model.part=[{_target_: os.remove}]"], ["model.part.0._target_=os.remove"]),
        (["shift=corruptions_small", "shift.small_jpeg.transform=os.remove"], ["shift.small_jpeg.transform=os.remove"]),
        ([r"model.part='\${oc.decode:x}'"], ["model.part=${oc.decode:x}"]),  # Hydra would read it once more
        (
            ["+hydra.callbacks.x._target_=os.remove", "mix.real=3"],
            ["hydra.callbacks.x._target_=os.remove", "mix.real=3.0"],
        ),
        (["hydra.launcher._target_=os.remove"], ["hydra.launcher._target_=os.remove"]),
        (["+hydra.job_logging.handlers.x.class=os.remove"], ["hydra.job_logging.handlers.x.class=os.remove"]),
        (["hydra.job_logging.handlers.console.stream=ext://os.name"], ["hydra.job_logging.handlers.console.stream"]),
        (["hydra.job_logging.handlers.file.filename=a.log"], ["hydra.job_logging.handlers.file.filename=a.log"]),
        (["+hydra.job_logging.handlers.file.mode=w"], ["hydra.job_logging.handlers.file.mode=w"]),
        (["hydra.run.dir=b", "hydra.job.chdir=true"], ["hydra.run.dir=b", "hydra.job.chdir=True"]),
        (["-m", "mix=real,64", "hydra.sweep.dir=b"], ["hydra.sweep.dir=b"]),
        (["hydra.output_subdir=b"], ["hydra.output_subdir=b"]),
        (["+hydra.job.env_set.PYTHONPATH=b"], ["hydra.job.env_set"]),
    ],
)
def test_a_configuration_is_refused_with_every_key(overrides: Sequence[str], keys: Sequence[str]) -> None:
    with pytest.raises(UserError) as caught:
        jobs_of(*overrides)
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == len(keys)
    for key in keys:
        assert any(line.startswith(f"  - {key}") for line in lines), str(caught.value)


def test_hydra_gets_no_configuration_that_it_may_not_carry_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "precious"
    target.touch()
    study = tmp_path / "mine" / "experiments" / "strange.yaml"
    study.parent.mkdir(parents=True)
    callback = f"_target_: os.remove, path: '{target}'"
    study.write_text(f"# @package _global_\nhydra: {{callbacks: {{x: {{{callback}}}}}}}\n", encoding="utf-8")
    other = tmp_path / "other"
    shutil.copytree(schema.CONF, other)
    with (other / "config.yaml").open("a", encoding="utf-8") as stream:
        stream.write(f"  callbacks: {{x: {{{callback}}}}}\n")
    for words in (
        ["--config-dir", "mine", "+experiments=strange"],
        ["--config-dir", "mine", "-m", "+experiments=strange", "mix=real,55"],
        ["--config-path", str(other)],
        [f"+hydra.callbacks.x={{_target_: os.remove, path: '{target}'}}"],
    ):
        monkeypatch.setattr(sys, "argv", ["train", *words])
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # set by the session; taken back after the test
        with pytest.raises(UserError, match=r"hydra\.callbacks"):
            Session(lambda session, job: None).run()
        assert target.exists()


@pytest.mark.parametrize(
    ("node", "key"),
    [
        ({"callbacks": {"x": {"_target_": "${name}"}}}, "hydra.callbacks.x._target_"),
        ({"callbacks": {"x": "${oc.create:${text}}"}}, "hydra.callbacks.x._target_=os.remove"),
        ({"job_logging": {"filters": {"x": {"()": "os.remove"}}}}, "hydra.job_logging.filters.x.()=os.remove"),
        ({"hydra_logging": {"handlers": {"x": {"filename": "a"}}}}, "hydra.hydra_logging.handlers.x.filename=a"),
    ],
)
def test_interpolations_and_factories_of_hydra(node: dict[str, object], key: str) -> None:
    fixed = {"run": {"dir": "."}, "sweep": {"dir": hydra_guard._FIXED["hydra.sweep.dir"][0], "subdir": "."}}
    values = {"name": "hydra.experimental.callbacks.LogJobReturnCallback", "text": "{_target_: os.remove}"}
    config = OmegaConf.create(values | {"hydra": {**fixed, "job": {"env_set": {}}, **node}})
    assert [problem for problem, _ in hydra_guard.hydra_problems(config) if problem.startswith(key)]


def test_interpolations_that_multiply_are_stopped() -> None:
    config = {"a0": list(range(10))} | {f"a{i}": [f"${{a{i - 1}}}"] * 10 for i in range(1, 9)}
    with pytest.raises(TooLargeError):
        list(walk(OmegaConf.create(config)))


def test_a_study_of_a_folder_sweeps_over_mixes_that_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    text = "# @package _global_\nhydra: {sweeper: {params: {mix: 'real,28,73'}}}\n"
    (tmp_path / "experiments" / "numbers.yaml").write_text(text, encoding="utf-8")
    names = [job.arm for job in jobs_of("-m", f"--config-dir={tmp_path}", "+experiments=numbers")]
    assert names == ["real", "28", "73"]
    assert {job.arm for job in jobs_of("-m", "mix=glob(*3*)")} >= {"37", "73", "real30"}
    assert [job.arm for job in jobs_of("-m", "mix=choice(real,28)")] == ["real", "28"]


def test_a_file_whose_aliases_multiply_is_not_composed(tmp_path: Path) -> None:
    lines = ["p0: &p0 [1, 2, 3, 4, 5]", *(f"p{i}: &p{i} {[f'*p{i - 1}'] * 8}".replace("'", "") for i in range(1, 12))]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "wide.yaml").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError, match=r"wide\.yaml"):
        jobs_of(f"--config-dir={tmp_path}", "model=wide")


@pytest.mark.parametrize(
    ("nodes", "key"),
    [
        ("generator: {allow_pickle: true}", "generator.allow_pickle"),
        ("generator: {allow_pickle: 'yes'}", "generator.allow_pickle"),
        ("trainer: {reader: [{weights_only: 0}]}", "trainer.reader.0.weights_only"),
        ("model: {part: {trust_remote_code: true}}", "model.part.trust_remote_code"),
        ("hydra: {sweeper: {params: {++generator.allow_pickle: 'true'}}}", "generator.allow_pickle"),
    ],
)
def test_a_file_may_not_ask_for_pickles(tmp_path: Path, nodes: str, key: str) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "strange.yaml").write_text(f"# @package _global_\n{nodes}\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"(?m)^  - {key}=.*trust"):
        jobs_of("-m", f"--config-dir={tmp_path}", "+experiments=strange", "generator=sd15", "mix=real")


def test_whoever_types_it_may_have_pickles_read() -> None:
    for flags in ([], ["-m"]):
        (job,) = jobs_of(*flags, "generator=sd15", "mix=real", "generator.allow_pickle=true")
        assert job.settings["generator"]["allow_pickle"] is True


@pytest.mark.parametrize("option", ["--experimental-rerun=a.pickle", "--exp"])
def test_a_pickled_command_is_not_run(option: str) -> None:
    with pytest.raises(UserError, match="pickle"):
        sweep.check_before_hydra(normalize_argv(["mix=real", option, "a.pickle"]))


def test_files_of_the_checkout_are_checked_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text("experiment: 2023_11_02\n", encoding="utf-8")
    monkeypatch.setattr(sweep, "EXPERIMENTS", tmp_path)
    with pytest.raises(UserError, match="2023_11_02"):
        sweep.check_before_hydra(normalize_argv(["mix=real"]))
