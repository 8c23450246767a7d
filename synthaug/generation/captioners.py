"""Models that write captions: an instruction model that is told the class, or one that looks at training images.

Both are models of transformers: a hub id, or a folder that `save_pretrained` wrote. Nothing is loaded before the first
caption.
"""

import contextlib
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from synthaug.data.decoding import try_decode
from synthaug.data.samples import Sample
from synthaug.errors import UserError, raise_all
from synthaug.generation import hub, weights
from synthaug.generation.captioning import Proposal, Subject, answer_lines, step_seed
from synthaug.generation.memory import is_out_of_memory, release_memory
from synthaug.generation.prompts import ARTICLE, CLASS, article
from synthaug.generation.quiet import quiet

_KIND, _KEY = "captioner", "captioner.model"
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
_COUNT = "count"
_SIDE = 512  # pixels of the short side that is decoded; captioners look at fewer
_OTHER = "choose another captioner.model, or write the captions by other means: prompts.file=<file>"


class _Captioner:
    """What both kinds of models share: loading, sampling from a seed, provenance.

    Args:
        model: a hub id, or a local folder.
        template: with `{class_name}`, what the model is told.
        placeholders: that the template may have.
        revision: commit, tag or branch on the hub.
        temperature: of sampling; 0 takes the likeliest words.
        top_p: share of the probability from which words are drawn.
        max_new_tokens: length at which an answer is cut off.
        max_tries: how often a class is asked for in vain before the command stops.
        dtype: "float32", "float16" or "bfloat16"; None takes float32 on a CPU and float16 elsewhere.
        device: "cpu", "cuda", "mps" …; None takes the best one.
    """

    looks_at_images = False
    _template_key = ""

    def __init__(
        self,
        model: str,
        template: str,
        placeholders: Sequence[str],
        revision: str | None,
        temperature: float,
        top_p: float,
        max_new_tokens: int,
        max_tries: int,
        dtype: str | None,
        device: str | None,
    ) -> None:
        self.model = model
        self.template = template
        self.revision = revision
        self.temperature = temperature
        self.top_p = top_p
        self.max_new_tokens = max_new_tokens
        self.max_tries = max_tries
        self.dtype = dtype
        self.device = device
        self._placeholders = placeholders
        self._parts: tuple[Any, Any] | None = None  # tokenizer or processor, and model
        self._provenance: dict[str, str] = {}

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes the captions."""
        names = "model revision temperature top_p max_new_tokens dtype"
        return {self._template_key: self.template, **{name: getattr(self, name) for name in names.split()}}

    def check(self) -> None:
        """Check all that can be checked before the model is loaded; imports no torch.

        Raises:
            UserError: an invalid setting, a folder that does not exist, a hub without the model or out of reach.
        """
        rules = [
            ("temperature", self.temperature >= 0, "at least 0"),
            ("top_p", 0 < self.top_p <= 1, "more than 0, at most 1"),
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            ("max_tries", self.max_tries >= 1, "at least 1"),
            ("dtype", self.dtype in (None, "float32", "float16", "bfloat16"), "float32, float16, bfloat16 or null"),
        ]
        problems = [f"captioner.{key}={getattr(self, key)}: must be {rule}" for key, holds, rule in rules if not holds]
        if self.temperature == 0 and self.max_tries > 1 and not self.looks_at_images:
            problems.append("captioner.temperature=0: every answer would be the same; give one above 0")
        raise_all("The captioner cannot be used:", [*problems, *self._template_problems()])
        if self._local_folder() is None:
            hub.check_reachable(self.model, self.revision, "config.json", _KIND, _KEY)

    def _template_problems(self) -> list[str]:
        return _template_problems(f"captioner.{self._template_key}", self.template, self._placeholders)

    def _local_folder(self) -> Path | None:
        folder = Path(self.model).expanduser()
        if folder.is_dir():
            return folder
        if hub.is_path(self.model):
            remedy = f"set {_KEY}=<folder> to an existing one."
            raise hub.model_error(self.model, f"there is no folder {folder.absolute()}", remedy, _KIND)
        return None

    def provenance(self) -> dict[str, str]:
        """Return what wrote the captions: model, revision, hash of the weights. Loads the model.

        Raises:
            UserError: a model that cannot be loaded.
        """
        self._load()
        return self._provenance

    def unload(self) -> None:
        """Release the memory."""
        self._parts = None

    def _load(self) -> tuple[Any, Any]:
        if self._parts is None:
            with quiet():
                folder, revision = self._local_folder(), ""
                if folder is None:
                    folder, revision = hub.fetch_folder(self.model, self.revision, _FILES, _KIND, _KEY)
                files = {path.name: path for path in folder.glob("*.safetensors")}
                if not files:
                    cause = "it has no weights as .safetensors"
                    raise hub.model_error(self.model, cause, f"{_OTHER}.", _KIND)
                try:
                    self._parts = self._load_parts(folder)
                except UserError:
                    raise
                except Exception as error:
                    if is_out_of_memory(error):
                        raise self._memory_error() from error
                    raise hub.model_error(self.model, hub.one_line(error), f"{_OTHER}.", _KIND) from error
                self._provenance = {
                    "model": self.model,
                    "revision": revision,
                    "weights": weights.fingerprint(files),
                }
        return self._parts

    def _load_parts(self, folder: Path) -> tuple[Any, Any]:
        raise NotImplementedError

    def _placed(self, model_class: Any, folder: Path) -> Any:
        import torch

        device = self._device()
        dtype = getattr(torch, self.dtype or ("float32" if device == "cpu" else "float16"))
        return model_class.from_pretrained(folder, dtype=dtype, use_safetensors=True).to(device).eval()

    def _device(self) -> str:
        import torch

        if self.device:
            return self.device
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"

    def _generate(self, inputs: Any, seed: int) -> Any:
        """Return the tokens of one answer; the same for the same seed, whatever was written before."""
        _, model = self._load()
        sampling = {"do_sample": True, "temperature": self.temperature, "top_p": self.top_p}
        arguments = sampling if self.temperature > 0 else {"do_sample": False}
        try:
            with _seeded(seed), quiet():
                return model.generate(**inputs, **arguments, max_new_tokens=self.max_new_tokens)[0]
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            release_memory()
            raise self._memory_error() from error

    def _memory_error(self) -> UserError:
        return UserError(
            f"The memory of {self._device()} is too small for the captioner {self.model}: set captioner.device=cpu, "
            "captioner.dtype=float16 on a GPU, or choose a smaller captioner.model."
        )


def _template_problems(key: str, template: str, placeholders: Sequence[str]) -> list[str]:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        return [f"{key}: {error}; write a literal brace twice"]
    problems = [f"{key}: lacks the class: write {{{CLASS}}} where it belongs"] if CLASS not in names else []
    unknown = ", ".join(f"{{{name}}}" for name in sorted(names - set(placeholders)))
    allowed = ", ".join(f"{{{name}}}" for name in placeholders)
    return problems + ([f"{key}: has unknown placeholders {unknown}; use {allowed}"] if unknown else [])


class InstructionCaptioner(_Captioner):
    """A language model that follows instructions and is told the class.

    Args:
        model: a hub id, or a local folder, whose tokenizer has a chat template.
        instruction: with `{count}`, `{class_name}` and perhaps `{a}`.
        at_once: captions that it is asked for at once.
        revision, temperature, top_p, max_new_tokens, max_tries, dtype, device: as for all captioners: commit on the
            hub, sampling, length of an answer, tries without a new caption, precision and place.
    """

    _template_key = "instruction"

    def __init__(
        self,
        model: str,
        instruction: str,
        at_once: int = 20,
        revision: str | None = None,
        temperature: float = 1.0,
        top_p: float = 0.95,
        max_new_tokens: int = 1024,
        max_tries: int = 5,
        dtype: str | None = None,
        device: str | None = None,
    ) -> None:
        placeholders = (_COUNT, CLASS, ARTICLE)
        sampling = (revision, temperature, top_p, max_new_tokens)
        super().__init__(model, instruction, placeholders, *sampling, max_tries, dtype, device)
        self.at_once = at_once

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes the captions."""
        return {**super().settings, "at_once": self.at_once}

    def tries(self, subject: Subject) -> int:
        """Return how many steps without a new caption are enough."""
        return self.max_tries

    def propose(self, subject: Subject, step: int, seed: int) -> list[Proposal]:
        """Return the captions of one answer.

        Args:
            subject: the class.
            step: number of the answer.
            seed: of the command.
        """
        tokenizer, model = self._load()
        values = {_COUNT: self.at_once, CLASS: subject.name, ARTICLE: article(subject.name)}
        messages = [{"role": "user", "content": self.template.format(**values)}]
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(model.device)
        answer = self._generate(inputs, step_seed(subject.class_name, step, seed))[inputs["input_ids"].shape[1] :]
        text = tokenizer.decode(answer, skip_special_tokens=True)
        is_cut_off = len(answer) >= self.max_new_tokens
        return [Proposal(line) for line in answer_lines(text, is_cut_off)]

    def _load_parts(self, folder: Path) -> tuple[Any, Any]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder)
        if tokenizer.chat_template is None:
            cause = "its tokenizer has no chat template, so it follows no instructions"
            raise hub.model_error(self.model, cause, f"{_OTHER}.", _KIND)
        return tokenizer, self._placed(AutoModelForCausalLM, folder)


class ImageCaptioner(_Captioner):
    """A model that continues the beginning of a caption while it looks at a training image.

    It is one for captions, such as BLIP, or one with a chat template, such as SmolVLM, whose answer gets the beginning.

    Args:
        model: a hub id, or a local folder.
        beginning: of every caption, with `{class_name}` and perhaps `{a}`: so each names its class.
        request: what a model with a chat template is told before, with the same placeholders.
        revision, temperature, top_p, max_new_tokens, max_tries, dtype, device: as of `InstructionCaptioner`; an image
            is looked at `max_tries` times at most.
    """

    looks_at_images = True
    _template_key = "beginning"

    def __init__(
        self,
        model: str,
        beginning: str = "a photo of {a} {class_name}",
        request: str = "Describe this photograph of {a} {class_name} in one sentence.",
        revision: str | None = None,
        temperature: float = 1.0,
        top_p: float = 0.9,
        max_new_tokens: int = 30,
        max_tries: int = 3,
        dtype: str | None = None,
        device: str | None = None,
    ) -> None:
        sampling = (revision, temperature, top_p, max_new_tokens)
        super().__init__(model, beginning, (CLASS, ARTICLE), *sampling, max_tries, dtype, device)
        self.request = request

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes the captions."""
        return {**super().settings, "request": self.request}

    def _template_problems(self) -> list[str]:
        return [
            *super()._template_problems(),
            *_template_problems("captioner.request", self.request, self._placeholders),
        ]

    def tries(self, subject: Subject) -> int:
        """Return how many steps without a new caption are enough: one for each image, several times."""
        return self.max_tries * len(subject.images)

    def propose(self, subject: Subject, step: int, seed: int) -> list[Proposal]:
        """Return the caption of one image.

        Args:
            subject: the class.
            step: number of the image; beyond the last one they are looked at again.
            seed: of the command.
        """
        processor, model = self._load()
        sample = subject.images[step % len(subject.images)]
        values = {CLASS: subject.name, ARTICLE: article(subject.name)}
        beginning, has_chat = self.template.format(**values), processor.chat_template is not None
        if has_chat:
            inputs = _chat_inputs(processor, _read_image(sample), self.request.format(**values), beginning)
        else:
            inputs = processor(images=[_read_image(sample)], text=[beginning], return_tensors="pt")
        inputs = inputs.to(model.device)
        inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
        answer = self._generate(inputs, step_seed(subject.class_name, step, seed))
        decode = processor.tokenizer.decode
        if has_chat:
            rest = decode(answer[inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip().partition("\n")[0]
        else:
            # Of uncased tokenizers, and of classes with words that they do not know, the beginning comes back changed.
            text, prompt_text = (
                " ".join(decode(tokens, skip_special_tokens=True).split())
                for tokens in (answer, inputs["input_ids"][0])
            )
            rest = text[len(prompt_text) :] if prompt_text and text.startswith(prompt_text) else text
        return [Proposal(f"{beginning} {rest.strip()}".strip(), sample)]

    def _load_parts(self, folder: Path) -> tuple[Any, Any]:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        return AutoProcessor.from_pretrained(folder), self._placed(AutoModelForImageTextToText, folder)


def _chat_inputs(processor: Any, image: Image.Image, request: str, beginning: str) -> Any:
    """Return the inputs of a conversation whose answer has begun."""
    content = [{"type": "image", "image": image}, {"type": "text", "text": request}]
    messages = [
        {"role": "user", "content": content},
        {"role": "assistant", "content": [{"type": "text", "text": beginning}]},
    ]
    return processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_tensors="pt", continue_final_message=True
    )


def _read_image(sample: Sample) -> Image.Image:
    pixels = try_decode(sample.sha256, sample.path, _SIDE)
    if isinstance(pixels, str):
        raise UserError(f"{sample.path}: {pixels}. Restore the training image, or run the same command again.")
    return Image.fromarray(pixels).convert("RGB")


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    import torch

    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        yield
