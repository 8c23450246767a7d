"""How each text-to-image pipeline of diffusers takes guidance, and what the authors of distilled weights publish.

`guidance_scale` of a model card is not the same argument everywhere: Qwen-Image's is `true_cfg_scale` and does nothing
without a negative prompt, Stable Cascade's is its prior's, Flux hands the scale to its network as a number, Z-Image is
guided from 0 on and not from 1. What a class does with a scale that it does not use is to ignore it in silence.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

# Reads a value of a configuration by component and key; "" is the pipeline itself. None where there is none.
ReadConfig = Callable[[str, str], Any]

NEVER, OPTIONAL, REQUIRED = "never", "optional", "required"


@dataclass(frozen=True)
class GuidanceRule:
    """How the call of a pipeline class takes guidance.

    Attributes:
        argument: with the scale of classifier-free guidance; None where the class computes none from a scale.
        above: the scale above which it is on.
        negative: whether a negative prompt is accepted: never; optional, where an empty one stands in for it; or
            required, without which guidance stays off.
        embedded: argument whose scale the network gets as a number, in one prediction per step.
        embedded_if: (component, key) whose value says that these weights take it so; None for all weights.
        distilled_if: (component, key) whose value says that these weights are distilled and take no guidance.
        fixed: further arguments that a scale needs.
        lowest: scale that the class accepts.
        source: of all this, in diffusers' pipelines folder.
    """

    argument: str | None = "guidance_scale"
    above: float = 1.0
    negative: str = OPTIONAL
    embedded: str | None = None
    embedded_if: tuple[str, str] | None = None
    distilled_if: tuple[str, str] | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    lowest: float = 0.0
    source: str = ""


def _classic(source: str, **more: Any) -> GuidanceRule:
    return GuidanceRule(source=source, **more)


def _of_unet(source: str) -> GuidanceRule:
    """Return the rule for unets; that of a latent consistency model has the scale embedded: one prediction a step."""
    return _classic(source, embedded="guidance_scale", embedded_if=("unet", "time_cond_proj_dim"))


def _embedded(source: str, condition: tuple[str, str] | None = None) -> GuidanceRule:
    return GuidanceRule(argument=None, negative=NEVER, embedded="guidance_scale", embedded_if=condition, source=source)


def _of_flux(source: str) -> GuidanceRule:
    """Return the rule for Flux, whose second scale, `true_cfg_scale`, doubles the time and is in none of its cards."""
    return _embedded(source, ("transformer", "guidance_embeds"))


def _of_qwen(source: str) -> GuidanceRule:
    condition = ("transformer", "guidance_embeds")
    return GuidanceRule("true_cfg_scale", 1.0, REQUIRED, "guidance_scale", condition, source=source)


def _of_z_image(source: str) -> GuidanceRule:
    return _classic(source, above=0.0)


# The classes of diffusers' AutoPipelineForText2Image. A file is named where the class is defined.
LISTED: dict[str, GuidanceRule] = {
    "StableDiffusionPipeline": _of_unet("stable_diffusion/pipeline_stable_diffusion.py"),
    "StableDiffusionXLPipeline": _of_unet("stable_diffusion_xl/pipeline_stable_diffusion_xl.py"),
    "StableDiffusion3Pipeline": _classic("stable_diffusion_3/pipeline_stable_diffusion_3.py"),
    "StableDiffusion3PAGPipeline": _classic("pag/pipeline_pag_sd_3.py"),
    "IFPipeline": _classic("deepfloyd_if/pipeline_if.py"),
    "HunyuanDiTPipeline": _classic("hunyuandit/pipeline_hunyuandit.py"),
    "HunyuanDiTPAGPipeline": _classic("pag/pipeline_pag_hunyuandit.py"),
    "KandinskyCombinedPipeline": _classic("kandinsky/pipeline_kandinsky_combined.py"),
    "KandinskyV22CombinedPipeline": _classic("kandinsky2_2/pipeline_kandinsky2_2_combined.py"),
    "Kandinsky3Pipeline": _classic("kandinsky3/pipeline_kandinsky3.py"),
    "StableDiffusionControlNetPipeline": _of_unet("controlnet/pipeline_controlnet.py"),
    "StableDiffusionXLControlNetPipeline": _of_unet("controlnet/pipeline_controlnet_sd_xl.py"),
    "StableDiffusionXLControlNetUnionPipeline": _of_unet("controlnet/pipeline_controlnet_union_sd_xl.py"),
    "StableDiffusion3ControlNetPipeline": _classic("controlnet_sd3/pipeline_stable_diffusion_3_controlnet.py"),
    "WuerstchenCombinedPipeline": _classic(
        "deprecated/wuerstchen/pipeline_wuerstchen_combined.py", argument="prior_guidance_scale"
    ),
    "StableCascadeCombinedPipeline": _classic(
        "stable_cascade/pipeline_stable_cascade_combined.py", argument="prior_guidance_scale"
    ),
    "LatentConsistencyModelPipeline": _embedded("latent_consistency_models/pipeline_latent_consistency_text2img.py"),
    "PixArtAlphaPipeline": _classic("pixart_alpha/pipeline_pixart_alpha.py"),
    "PixArtSigmaPipeline": _classic("pixart_alpha/pipeline_pixart_sigma.py"),
    "SanaPipeline": _classic("sana/pipeline_sana.py"),
    "SanaPAGPipeline": _classic("pag/pipeline_pag_sana.py"),
    "StableDiffusionPAGPipeline": _of_unet("pag/pipeline_pag_sd.py"),
    "StableDiffusionControlNetPAGPipeline": _of_unet("pag/pipeline_pag_controlnet_sd.py"),
    "StableDiffusionXLPAGPipeline": _of_unet("pag/pipeline_pag_sd_xl.py"),
    "StableDiffusionXLControlNetPAGPipeline": _of_unet("pag/pipeline_pag_controlnet_sd_xl.py"),
    "PixArtSigmaPAGPipeline": _classic("pag/pipeline_pag_pixart_sigma.py"),
    "AuraFlowPipeline": _classic("aura_flow/pipeline_aura_flow.py"),
    "FluxPipeline": _of_flux("flux/pipeline_flux.py"),
    "FluxControlPipeline": _of_flux("flux/pipeline_flux_control.py"),
    "FluxControlNetPipeline": _of_flux("flux/pipeline_flux_controlnet.py"),
    "FluxKontextPipeline": _of_flux("flux/pipeline_flux_kontext.py"),
    "Flux2KleinPipeline": _classic("flux2/pipeline_flux2_klein.py", negative=NEVER, distilled_if=("", "is_distilled")),
    "Flux2Pipeline": _embedded("flux2/pipeline_flux2.py"),
    "Ideogram4Pipeline": _classic(
        "ideogram4/pipeline_ideogram4.py", negative=NEVER, fixed={"guidance_schedule": None}, lowest=1.0
    ),
    "Krea2Pipeline": _classic("krea2/pipeline_krea2.py", above=0.0, distilled_if=("", "is_distilled")),
    "LuminaPipeline": _classic("lumina/pipeline_lumina.py"),
    "Lumina2Pipeline": _classic("lumina2/pipeline_lumina2.py"),
    "ChromaPipeline": _classic("chroma/pipeline_chroma.py"),
    "CogView3PlusPipeline": _classic("cogview3/pipeline_cogview3plus.py"),
    "CogView4Pipeline": _classic("cogview4/pipeline_cogview4.py"),
    "GlmImagePipeline": _classic("glm_image/pipeline_glm_image.py", negative=NEVER),
    "HeliosPipeline": _classic("helios/pipeline_helios.py"),
    "HeliosPyramidPipeline": _classic("helios/pipeline_helios_pyramid.py", distilled_if=("", "is_distilled")),
    "CogView4ControlPipeline": _classic("cogview4/pipeline_cogview4_control.py"),
    "NucleusMoEImagePipeline": _classic("nucleusmoe_image/pipeline_nucleusmoe_image.py"),
    "QwenImagePipeline": _of_qwen("qwenimage/pipeline_qwenimage.py"),
    "QwenImage21Pipeline": _classic(
        "qwenimage21/pipeline_qwenimage21.py", argument="true_cfg_scale", negative=REQUIRED
    ),
    "QwenImageControlNetPipeline": _of_qwen("qwenimage/pipeline_qwenimage_controlnet.py"),
    "ZImagePipeline": _of_z_image("z_image/pipeline_z_image.py"),
    "ZImageControlNetPipeline": _of_z_image("z_image/pipeline_z_image_controlnet.py"),
    "ZImageControlNetInpaintPipeline": _of_z_image("z_image/pipeline_z_image_controlnet_inpaint.py"),
    "ZImageOmniPipeline": _of_z_image("z_image/pipeline_z_image_omni.py"),
    "OvisImagePipeline": _classic("ovis_image/pipeline_ovis_image.py"),
    "PRXPipeline": _classic("prx/pipeline_prx.py", lowest=1.0),
    # Where SentencePiece is installed.
    "KolorsPipeline": _of_unet("kolors/pipeline_kolors.py"),
    "KolorsPAGPipeline": _of_unet("pag/pipeline_pag_kolors.py"),
}
# Further classes that make images from text, which that list leaves out.
UNLISTED: dict[str, GuidanceRule] = {
    "BriaPipeline": _classic("bria/pipeline_bria.py"),
    "BriaFiboPipeline": _classic("bria_fibo/pipeline_bria_fibo.py"),
    "HiDreamImagePipeline": _classic("hidream_image/pipeline_hidream_image.py"),
    "LongCatImagePipeline": _classic("longcat_image/pipeline_longcat_image.py"),
    "ErnieImagePipeline": _classic("ernie_image/pipeline_ernie_image.py"),
    "SanaSprintPipeline": _embedded("sana/pipeline_sana_sprint.py"),
}
RULES: dict[str, GuidanceRule] = {**LISTED, **UNLISTED}

# The cards of models that need a negative prompt for guidance write a space, not an empty text.
_EMPTY = " "


@dataclass(frozen=True)
class Published:
    """What the authors of distilled weights publish, where no configuration says that they are distilled."""

    steps: int
    guidance: float
    source: str


# Last part of a hub id (so that a copy in a folder of this name is recognized too), in lower case.
DISTILLED_MODELS: dict[str, Published] = {
    "sd-turbo": Published(1, 0.0, "https://huggingface.co/stabilityai/sd-turbo"),
    "sdxl-turbo": Published(1, 0.0, "https://huggingface.co/stabilityai/sdxl-turbo"),
    "stable-diffusion-3.5-large-turbo": Published(
        4, 0.0, "https://huggingface.co/stabilityai/stable-diffusion-3.5-large-turbo"
    ),
    "flux.1-schnell": Published(4, 0.0, "https://huggingface.co/black-forest-labs/FLUX.1-schnell"),
    "flux.2-klein-4b": Published(4, 1.0, "https://huggingface.co/black-forest-labs/FLUX.2-klein-4B"),
    "flux.2-klein-9b": Published(4, 1.0, "https://huggingface.co/black-forest-labs/FLUX.2-klein-9B"),
    "z-image-turbo": Published(9, 0.0, "https://huggingface.co/Tongyi-MAI/Z-Image-Turbo"),
    "hidream-i1-dev": Published(28, 0.0, "https://github.com/HiDream-ai/HiDream-I1/blob/main/inference.py"),
    "hidream-i1-fast": Published(16, 0.0, "https://github.com/HiDream-ai/HiDream-I1/blob/main/inference.py"),
    "pixart-lcm-xl-2-1024-ms": Published(4, 0.0, "https://huggingface.co/PixArt-alpha/PixArt-LCM-XL-2-1024-MS"),
}
# LoRA that distil the model which they are added to.
DISTILLED_LORAS: dict[str, Published] = {
    "sdxl-lightning": Published(4, 0.0, "https://huggingface.co/ByteDance/SDXL-Lightning"),
    "qwen-image-lightning": Published(8, 1.0, "https://huggingface.co/lightx2v/Qwen-Image-Lightning"),
}


def published_values(model: str, loras: Sequence[str] = ()) -> Published | None:
    """Return what the authors of distilled weights publish; None for all other weights.

    Args:
        model: hub id or folder.
        loras: hub ids, files or folders of the LoRA that are added to it.
    """
    of_loras = [DISTILLED_LORAS[name] for name in map(_last_part, loras) if name in DISTILLED_LORAS]
    return of_loras[0] if of_loras else DISTILLED_MODELS.get(_last_part(model))


def _last_part(name: str) -> str:
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1].lower()


@dataclass(frozen=True)
class Guidance:
    """What the calls of a loaded pipeline get for guidance.

    Attributes:
        argument: that the scale is passed as; None passes none.
        fixed: further arguments beside the scale.
        default: scale where the configuration has none; None leaves the pipeline's.
        pipeline_default: that one, where it is a number.
        negative: the negative prompt of each image; None passes none.
        problems: why the settings are refused.
    """

    argument: str | None
    fixed: Mapping[str, Any]
    default: float | None
    pipeline_default: float | None
    negative: str | None
    problems: tuple[str, ...]

    @property
    def scale(self) -> str:
        """What images are guided by whose configuration has no scale, for the manifest."""
        scale = self.pipeline_default if self.default is None else self.default
        return "" if scale is None else f"{scale:g}"

    def arguments(self, scale: float | None, images: int) -> dict[str, Any]:
        """Return the arguments of a call.

        Args:
            scale: of its images; None takes the default.
            images: in the call.
        """
        scale = self.default if scale is None else scale
        passed: dict[str, Any] = {}
        if scale is not None and self.argument is not None:
            passed = {self.argument: scale, **self.fixed}
        return passed if self.negative is None else {**passed, "negative_prompt": [self.negative] * images}


def decide(
    kind: str,
    rule: GuidanceRule,
    model: str,
    read: ReadConfig,
    scale: tuple[float, float] | None,
    negative_prompt: str,
    defaults: Mapping[str, Any],
    loras: Sequence[str] = (),
) -> Guidance:
    """Decide how a model is guided, and what of the settings it would ignore.

    Args:
        kind: name of its pipeline's class.
        rule: of the class.
        model: hub id or folder.
        read: its configurations.
        scale: lowest and highest of the images; None for the model's own.
        negative_prompt: "" is none.
        defaults: argument of the pipeline's call → its default.
        loras: hub ids, files or folders of the LoRA that are added to it.
    """
    published = published_values(model, loras)
    unguided = _unguided_reason(kind, rule, read, published)
    rule = _for_weights(rule, read)
    argument = rule.embedded or rule.argument
    default = defaults.get(argument or "")
    pipeline_default = float(default) if isinstance(default, (int, float)) else None
    models_scale = published.guidance if published else (rule.above if argument else 0.0) if unguided else None
    low, high = scale or (models_scale if models_scale is not None else pipeline_default,) * 2
    problems = []
    if scale is not None:
        most = max(rule.above, published.guidance if published else 0.0)
        if unguided and scale[1] > most:
            problems.append(f"generator.guidance_scale={scale[1]:g}: {unguided}; set it to {models_scale:g} or null")
        elif argument is not None and scale[0] < rule.lowest:
            problems.append(f"generator.guidance_scale={scale[0]:g}: a {kind} takes {rule.lowest:g} (none) and more")
    if negative_prompt and (reason := _ignored_reason(kind, rule, unguided, low)):
        problems.append(f"generator.negative_prompt={negative_prompt}: {reason}, or leave it empty")
    is_on = high is not None and high > rule.above and not unguided
    negative = negative_prompt or (_EMPTY if rule.negative == REQUIRED and is_on else None)
    return Guidance(argument, rule.fixed, models_scale, pipeline_default, negative, tuple(problems))


def rule_of_call(arguments: Iterable[str]) -> GuidanceRule:
    """Return the rule for a class that the table does not have, from the arguments of its call."""
    names = set(arguments)
    negative = OPTIONAL if "negative_prompt" in names else NEVER
    return GuidanceRule("guidance_scale" if "guidance_scale" in names else None, negative=negative)


def _for_weights(rule: GuidanceRule, read: ReadConfig) -> GuidanceRule:
    """Return the rule for these weights: with the embedded scale or the classifier-free one, never with both."""
    if rule.embedded is None:
        return rule
    if rule.embedded_if is None or _is_set(read(*rule.embedded_if)):
        return replace(rule, negative=NEVER, above=0.0)
    return replace(rule, embedded=None)


def _is_set(value: Any) -> bool:
    return value is not None and value is not False


def _unguided_reason(kind: str, rule: GuidanceRule, read: ReadConfig, published: Published | None) -> str:
    """Return why guidance would do nothing or harm; "" where it works."""
    if published is not None:
        return f"its authors publish {published.guidance:g} for these distilled weights ({published.source})"
    if rule.distilled_if is not None and read(*rule.distilled_if):
        return f"these weights are distilled ({rule.distilled_if[1]}) and would ignore it"
    if rule.argument is None and rule.embedded is None:
        return f"a {kind} does not accept it"
    if rule.argument is None and rule.embedded_if is not None and not _is_set(read(*rule.embedded_if)):
        return f"these weights are distilled without guidance ({'.'.join(rule.embedded_if)} is false)"
    return "these weights are distilled to a few steps without guidance" if is_turbo(read) else ""


def is_turbo(read: ReadConfig) -> bool:
    """Return whether a unet is distilled as the turbo models are.

    No field marks them. But they alone are sampled from the last step backwards without having been trained on pure
    noise.
    """
    backwards = read("scheduler", "timestep_spacing") == "trailing"
    of_noise = read("scheduler", "prediction_type") == "epsilon" and not read("scheduler", "rescale_betas_zero_snr")
    return backwards and of_noise and read("unet", "in_channels") is not None


def _ignored_reason(kind: str, rule: GuidanceRule, unguided: str, low: float | None) -> str:
    """Return why a negative prompt would be ignored, and what would change that; "" where it is used."""
    if rule.negative == NEVER or unguided:
        return f"a {kind} of these weights ignores it; choose another model"
    if low is not None and low <= rule.above:
        return f"guidance_scale={low:g} ignores it; set that above {rule.above:g}"
    return ""
