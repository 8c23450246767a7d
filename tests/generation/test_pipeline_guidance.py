"""What the call of each pipeline class gets for guidance, and that its denoiser predicts twice a step if it is on."""

import functools
import inspect
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from synthaug.errors import UserError
from synthaug.generation import diffusion, loading
from synthaug.generation.diffusion import DiffusionGenerator
from synthaug.generation.options import call_defaults, call_parameters, guidance_rule
from synthaug.generation.pipeline_guidance import (
    DISTILLED_LORAS,
    DISTILLED_MODELS,
    LISTED,
    NEVER,
    RULES,
    UNLISTED,
    decide,
    published_values,
)
from synthaug.generation.quiet import quiet
from tests.factories.pipelines import Pipelines

STEPS = 2
IGNORED = r"negative_prompt=odd: .*ignores it"

# Built class → the scale that its authors publish and one that is none, the argument, the negative prompt that is
# passed without one in the configuration, and predictions of an image in a step with guidance and without.
EXPECTED: dict[str, tuple[float, float, str, str | None, int, int]] = {
    "SanaPipeline": (4.5, 1, "guidance_scale", None, 2, 1),
    "SanaPAGPipeline": (4.5, 1, "guidance_scale", None, 3, 2),  # perturbed attention is one more
    "QwenImagePipeline": (4, 1, "true_cfg_scale", " ", 2, 1),
    "ZImagePipeline": (0.5, 0, "guidance_scale", None, 2, 1),
    "Flux2KleinPipeline": (4, 1, "guidance_scale", None, 2, 1),
    "Lumina2Pipeline": (4, 1, "guidance_scale", None, 2, 1),
    "ChromaPipeline": (5, 1, "guidance_scale", None, 2, 1),
    "CogView4Pipeline": (3.5, 1, "guidance_scale", None, 2, 1),
    "AuraFlowPipeline": (3.5, 1, "guidance_scale", None, 2, 1),
    "OvisImagePipeline": (5, 1, "guidance_scale", None, 2, 1),
    "BriaPipeline": (5, 1, "guidance_scale", None, 2, 1),
    "StableDiffusionPipeline": (7.5, 1, "guidance_scale", None, 2, 1),
    "StableDiffusionPipeline-embedded": (7.5, 0, "guidance_scale", None, 1, 1),
    "LatentConsistencyModelPipeline": (8, 0, "guidance_scale", None, 1, 1),
    "StableDiffusionPAGPipeline": (7.5, 1, "guidance_scale", None, 3, 2),
    "PixArtAlphaPipeline": (4.5, 1, "guidance_scale", None, 2, 1),
    "PixArtSigmaPipeline": (4.5, 1, "guidance_scale", None, 2, 1),
    "PixArtSigmaPAGPipeline": (4.5, 1, "guidance_scale", None, 3, 2),
    "sdxl": (5, 1, "guidance_scale", None, 2, 1),
    "sd3": (7, 1, "guidance_scale", None, 2, 1),
    "flux_guided": (3.5, 0, "guidance_scale", None, 1, 1),
}
LARGER = {"SanaPipeline": 32, "SanaPAGPipeline": 32}  # pixels of the smallest image


@dataclass
class Call:
    """What one call of a pipeline received, and the images that its denoiser saw."""

    arguments: dict[str, Any]
    predictions: int = 0


@dataclass
class Spy:
    """Watches the calls of pipelines."""

    calls: list[Call] = field(default_factory=list)

    def sample(self, generator: DiffusionGenerator, images: int = 1) -> Call:
        """Sample images of one prompt and return what happened; predictions are per image and step."""
        before = len(self.calls)
        results = generator.sample(["a cat"] * images, list(range(images)))
        assert len(results) == images
        (call,) = self.calls[before:]
        call.predictions //= images * STEPS
        return call


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    watching = Spy()
    watched_kinds: set[type] = set()
    load = loading.load_pipeline

    def rows(hidden: Any) -> int:
        return len(hidden) if isinstance(hidden, list) else int(hidden.shape[0])

    def count(module: Any, positional: Any, named: Any) -> None:
        hidden = positional[0] if positional else named.get("hidden_states", named.get("sample"))
        watching.calls[-1].predictions += rows(hidden)

    def watched(*arguments: Any, **named: Any) -> Any:
        loaded = load(*arguments, **named)
        pipeline = loaded.pipeline
        kind = type(pipeline)
        denoiser = getattr(pipeline, "transformer", None) or pipeline.unet
        denoiser.register_forward_pre_hook(count, with_kwargs=True)
        if kind not in watched_kinds:
            watched_kinds.add(kind)
            original = kind.__call__

            @functools.wraps(original)
            def call(self: Any, **passed: Any) -> Any:
                watching.calls.append(Call(dict(passed)))
                return original(self, **passed)

            monkeypatch.setattr(kind, "__call__", call)
        return loaded

    monkeypatch.setattr(diffusion, "load_pipeline", watched)
    return watching


def generator(name: str, folder: Path, **settings: Any) -> DiffusionGenerator:
    side = LARGER.get(name, 256 if name.startswith("PixArt") else 16)
    return DiffusionGenerator(
        str(folder), "a {class_name}", **{"num_inference_steps": STEPS, "height": side, "width": side, **settings}
    )


@pytest.fixture(scope="module")
def kinds() -> dict[str, type]:
    """The classes of the table by name."""
    with quiet():
        import diffusers

        return {name: getattr(diffusers, name) for name in RULES}


def test_the_table_has_every_class_that_diffusers_lists() -> None:
    with quiet():
        from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

    listed = {kind.__name__: kind for kind in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()}
    assert set(LISTED) - set(listed) <= {"KolorsPipeline", "KolorsPAGPipeline"}, "those need SentencePiece"
    assert set(listed) <= set(LISTED)
    assert not set(UNLISTED) & set(listed)


@pytest.mark.parametrize("name", RULES)
def test_a_row_agrees_with_the_call_and_the_source_of_its_class(name: str, kinds: dict[str, Any]) -> None:
    kind, rule = kinds[name], RULES[name]
    parameters = call_parameters(kind)
    source = inspect.getsourcefile(kind)
    assert source is not None
    assert Path(source).as_posix().endswith(f"pipelines/{rule.source}")
    for argument in [rule.argument, rule.embedded, *rule.fixed]:
        assert argument is None or argument in parameters
    assert rule.argument or rule.embedded
    assert (rule.negative == NEVER) >= ("negative_prompt" not in parameters)
    if rule.distilled_if:
        assert rule.distilled_if[1] in inspect.signature(kind.__init__).parameters
    # The condition stands in the source of the class, or of those that it is combined of.
    text = "".join(path.read_text(encoding="utf-8") for path in Path(source).parent.glob("*.py"))
    if rule.argument and not rule.fixed:
        assert f"> {rule.above:g}" in text
    if rule.embedded_if:
        assert rule.embedded_if[1] in Path(source).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EXPECTED)
def test_guidance_reaches_the_call_and_doubles_predictions(name: str, pipelines: Pipelines, spy: Spy) -> None:
    scale, none, argument, negative, with_guidance, without = EXPECTED[name]
    guided = generator(name, pipelines(name), guidance_scale=scale)
    guided.check(["cat"])
    call = spy.sample(guided, images=2)
    assert call.arguments[argument] == scale
    assert call.arguments.get("negative_prompt") == (None if negative is None else [negative] * 2)
    assert call.predictions == with_guidance
    assert guided.provenance()["guidance"] == f"{scale:g}"
    assert guided.provenance()["negative_prompt"] == (negative or "")
    assert {name: guided.call_arguments.get(name) for name in (argument, "negative_prompt")} == {
        argument: scale,
        "negative_prompt": negative,
    }
    call = spy.sample(generator(name, pipelines(name), guidance_scale=none))
    assert call.arguments[argument] == none
    assert call.predictions == without


@pytest.mark.parametrize("name", EXPECTED)
def test_without_settings_a_pipeline_has_its_own(name: str, pipelines: Pipelines, spy: Spy) -> None:
    _, _, argument, negative, with_guidance, _ = EXPECTED[name]
    plain = generator(name, pipelines(name), num_inference_steps=None, guidance_scale=None)
    plain.load()
    defaults = call_defaults(type(plain.pipeline))
    recorded = plain.provenance()
    assert recorded["guidance"] == f"{defaults[argument]:g}"
    assert recorded["steps"] == str(defaults["num_inference_steps"])
    call = spy.sample(generator(name, pipelines(name), guidance_scale=None))
    assert argument not in call.arguments
    assert call.arguments.get("negative_prompt") == (None if negative is None else [negative])
    assert call.predictions == with_guidance


@pytest.mark.parametrize("name", EXPECTED)
def test_a_negative_prompt_is_used_or_refused(name: str, pipelines: Pipelines, spy: Spy) -> None:
    scale, none, _, _, with_guidance, _ = EXPECTED[name]
    model = generator(name, pipelines(name), guidance_scale=scale, negative_prompt="odd")
    if with_guidance == 1 or name == "Flux2KleinPipeline":
        for refuse in (model.load, lambda: model.check(["cat"])):
            with pytest.raises(UserError, match=IGNORED):
                refuse()
    else:
        assert spy.sample(model).arguments["negative_prompt"] == ["odd"]
    with pytest.raises(UserError, match=IGNORED):
        generator(name, pipelines(name), guidance_scale=none, negative_prompt="odd").load()


def test_distilled_weights_take_what_their_authors_publish(pipelines: Pipelines, spy: Spy) -> None:
    name = "Flux2KleinPipeline-distilled"
    refused = generator(name, pipelines(name), guidance_scale=4)
    for refuse in (refused.load, lambda: refused.check(["cat"])):
        with pytest.raises(UserError, match=r"guidance_scale=4: .*distilled \(is_distilled\)"):
            refuse()
    call = spy.sample(generator(name, pipelines(name)))
    assert (call.arguments["guidance_scale"], call.predictions) == (1, 1)


@pytest.mark.parametrize(
    ("architecture", "model", "steps", "guidance"),
    [
        ("ZImagePipeline", "Z-Image-Turbo", 9, 0),
        ("sd3", "stable-diffusion-3.5-large-turbo", 4, 0),
        ("flux", "FLUX.1-schnell", 4, 0),
        ("turbo", "sdxl-turbo", 1, 0),
        ("Flux2KleinPipeline-distilled", "FLUX.2-klein-4B", 4, 1),
    ],
)
def test_a_copy_of_distilled_weights_is_recognized_by_its_name(
    architecture: str, model: str, steps: int, guidance: float, pipelines: Pipelines, tmp_path: Path, spy: Spy
) -> None:
    folder = tmp_path / model
    folder.symlink_to(pipelines(architecture))
    with pytest.raises(UserError, match=rf"guidance_scale=7.5: its authors publish {guidance} .*https://"):
        generator(architecture, folder, guidance_scale=7.5).check(["cat"])
    published = generator(architecture, folder, num_inference_steps=None)
    published.load()
    assert (published.provenance()["steps"], published.provenance()["guidance"]) == (str(steps), str(guidance))
    assert spy.sample(generator(architecture, folder, guidance_scale=guidance)).predictions == 1


def test_schnell_is_refused_guidance_for_the_true_reason(pipelines: Pipelines) -> None:
    with pytest.raises(UserError, match=r"guidance_scale=3.5: .*transformer.guidance_embeds is false"):
        generator("flux", pipelines("flux"), guidance_scale=3.5).check(["cat"])
    model = generator("flux", pipelines("flux"))
    model.load()
    assert model.provenance()["guidance"] == "0"


def test_published_values_have_sources_and_are_below_what_turns_guidance_on() -> None:
    for name, values in {**DISTILLED_MODELS, **DISTILLED_LORAS}.items():
        assert name == name.lower()
        assert values.source.startswith("https://")
        assert values.guidance in (0, 1)
    assert published_values("someone/Z-Image-Turbo/") == published_values(r"C:\models\z-image-turbo")
    assert published_values("stabilityai/stable-diffusion-xl-base-1.0") is None
    lightning = published_values("stabilityai/stable-diffusion-xl-base-1.0", ["ByteDance/SDXL-Lightning"])
    assert lightning is not None
    assert lightning.guidance == 0


def test_every_class_of_the_table_is_guided_in_some_weights(kinds: dict[str, type]) -> None:
    guided = set()
    for name, kind in kinds.items():
        for mark in (None, True):
            read = functools.partial(lambda value, *_: value, mark)
            decision = decide(name, guidance_rule(kind), "a/b", read, (7.0, 7.0), "", call_defaults(kind))
            passed = decision.arguments(None if decision.problems else 7.0, 1)
            assert set(passed) <= set(call_parameters(kind))
            guided |= {name} if decision.argument in passed and passed[decision.argument] == 7.0 else set()
    assert guided == set(RULES)


def test_a_range_that_begins_at_no_guidance_and_a_negative_prompt(pipelines: Pipelines) -> None:
    # Half is guidance to Z-Image and none to the others.
    generator("ZImagePipeline", pipelines("ZImagePipeline"), guidance_scale=[0.5, 3], negative_prompt="odd").load()
    with pytest.raises(UserError, match=r"guidance_scale=0.5 ignores it; set that above 1"):
        generator("sd", pipelines("sd"), guidance_scale=[0.5, 3], negative_prompt="odd").check(["cat"])


def test_a_folder_whose_index_is_damaged_is_reported_when_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps(["no index"]), encoding="utf-8")
    generator("sd", tmp_path).check(["cat"])
    with pytest.raises(UserError, match="is damaged"):
        generator("sd", tmp_path).load()


# --- generator=hub: nothing is inherited -----------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["SanaPipeline", "QwenImagePipeline", "sd3", "flux", "sdxl", "StableDiffusionPipeline"]
)
def test_a_model_as_it_is_has_the_size_and_scheduler_of_its_own(name: str, pipelines: Pipelines) -> None:
    plain = DiffusionGenerator(str(pipelines(name)), "a {class_name}")
    plain.load()
    assert plain.pipeline is not None
    assert set(plain._arguments) <= {"output_type", "clean_caption"}
    index = json.loads((pipelines(name) / "model_index.json").read_text(encoding="utf-8"))
    assert plain.provenance()["scheduler"] == index["scheduler"][1]
    assert plain.provenance()["dtype"] == "float32"


@pytest.mark.parametrize(
    ("device", "parts", "kind", "dtype"),
    [
        ("cpu", ["unet"], "StableDiffusionPipeline", "float32"),
        ("mps", ["unet"], "StableDiffusionPipeline", "float16"),
        ("mps", ["transformer"], "PixArtSigmaPipeline", "float16"),
        ("mps", ["transformer"], "ZImagePipeline", "bfloat16"),
    ],
)
def test_precision_without_a_stated_one(device: str, parts: list[str], kind: str, dtype: str) -> None:
    assert loading._default_dtype(device, parts, kind) == dtype


# --- options of the scheduler ----------------------------------------------------------------------


def test_options_of_the_scheduler_are_set_whether_it_is_replaced_or_not(pipelines: Pipelines) -> None:
    for scheduler in (None, "EulerDiscreteScheduler"):
        options = {"timestep_spacing": "trailing"}
        model = generator("sdxl", pipelines("sdxl"), scheduler=scheduler, scheduler_options=options, guidance_scale=5.0)
        model.load()  # the model's own schedule says whether it is distilled, not the one that was asked for
        assert type(model.pipeline.scheduler).__name__ == "EulerDiscreteScheduler"
        assert model.pipeline.scheduler.config.timestep_spacing == "trailing"
        assert model.pipeline.scheduler.config.beta_end == 0.012
        assert model.settings["scheduler_options"] == options


def test_options_that_a_scheduler_lacks_are_all_named(pipelines: Pipelines) -> None:
    model = generator("sdxl", pipelines("sdxl"), scheduler_options={"spacing": "trailing", "shift": 3, "beta_end": 0.1})
    with pytest.raises(UserError) as caught:
        model.load()
    _, *problems = str(caught.value).splitlines()
    assert [problem.partition(":")[0] for problem in problems] == [
        "  - generator.scheduler_options.spacing=trailing", "  - generator.scheduler_options.shift=3"
    ]  # fmt: skip
    assert "timestep_spacing" in problems[0]
    with pytest.raises(UserError, match=r"scheduler_options \(beta_schedule=odd\): .*refuses them"):
        generator("sdxl", pipelines("sdxl"), scheduler_options={"beta_schedule": "odd"}).load()
    with pytest.raises(UserError, match=r"generator.scheduler_options=trailing: must be a mapping"):
        generator("sdxl", pipelines("sdxl"), scheduler_options="trailing").check(["cat"])


# --- parts that are left to be added ---------------------------------------------------------------


def test_parts_that_the_makers_leave_out_are_named(pipelines: Pipelines, tmp_path: Path) -> None:
    folder = tmp_path / "partial"
    folder.mkdir()
    for part in pipelines("sd3").iterdir():
        if part.name not in ("model_index.json", "text_encoder_3", "tokenizer_3"):
            (folder / part.name).symlink_to(part)
    index = json.loads((pipelines("sd3") / "model_index.json").read_text(encoding="utf-8"))
    left = {key: value for key, value in index.items() if key not in ("text_encoder_3", "tokenizer_3")}
    (folder / "model_index.json").write_text(json.dumps(left), encoding="utf-8")
    with pytest.raises(UserError, match=r"its text_encoder_3, tokenizer_3 are to be added .*\n.*generator.components"):
        generator("sd3", folder).load()


def test_published_values_that_stand_in_are_told(
    pipelines: Pipelines, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "Z-Image-Turbo"
    folder.symlink_to(pipelines("ZImagePipeline"))
    with caplog.at_level("INFO", logger="synthaug"):
        generator("ZImagePipeline", folder, guidance_scale=0).load()
        assert "publish" not in caplog.text
        generator("ZImagePipeline", folder).load()
    assert "9 steps and guidance 0" in caplog.text
