"""The criterion of the CLIP score: how well an image and the name of its class agree."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthaug.data.samples import Sample
from synthaug.errors import UserError
from synthaug.features.feature_store import FeatureStore
from synthaug.generation.hub import check_reachable, locate
from synthaug.generation.quiet import quiet
from synthaug.screening.criterion import Candidate, Criterion, Finding
from synthaug.screening.settings import ScreeningSettings
from synthaug.screening.verdicts import CLIP

_BATCH = 64


class ClipImages:
    """The image encoder of a CLIP model as a backbone of features, and its text encoder.

    Args:
        model: a folder, or an id of the hub.
        revision: commit of the model.

    Raises:
        UserError: a model that is unreachable, or no CLIP model.
    """

    batch_size = _BATCH

    def __init__(self, model: str, revision: str | None) -> None:
        import torch
        from transformers import CLIPModel, CLIPProcessor

        folder = _locate(model)
        if folder is None:  # the library by itself tries for most of a minute
            check_reachable(model, revision, "config.json", "CLIP model", "screening.clip_model")
        with quiet():
            try:
                kwargs: dict[str, Any] = {} if folder else {"revision": revision}
                self._model: Any = CLIPModel.from_pretrained(str(folder or model), **kwargs)
                self._processor: Any = CLIPProcessor.from_pretrained(str(folder or model), **kwargs)
            except Exception as error:  # files, hub, configuration: every library raises its own
                raise UserError(
                    f"screening.clip_model={model} cannot be loaded ({' '.join(str(error).split())[:300]}): name a "
                    "folder with a CLIP model in transformers' format, or an id of the hub that can be reached."
                ) from error
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model.eval().to(self._device)
        size = self._processor.image_processor.size
        self.name = f"clip-{Path(model).name}"
        self.short_side = int(size.get("shortest_edge") or size.get("height") or 224)
        self.dimension = int(self._model.config.projection_dim)
        digest = hashlib.sha256(str(self._processor.image_processor.to_dict()).encode())
        for key, value in sorted(self._model.state_dict().items()):
            digest.update(key.encode() + value.cpu().contiguous().numpy().tobytes())
        self.digest = digest.hexdigest()

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the vectors (B, D) of images (H, W, 3), of unit length."""
        if not images:
            return np.zeros((0, self.dimension), dtype=np.float32)
        inputs = self._processor.image_processor([Image.fromarray(image) for image in images], return_tensors="pt")
        return self._vectors(self._model.get_image_features, inputs)

    def embed_text(self, text: str) -> NDArray[np.float32]:
        """Return the vector (D,) of a text, of unit length."""
        tokens = self._processor.tokenizer([text], padding=True, truncation=True, return_tensors="pt")
        return np.asarray(self._vectors(self._model.get_text_features, tokens)[0])

    def _vectors(self, encode: Callable[..., Any], inputs: Any) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            output = encode(**{key: value.to(self._device) for key, value in inputs.items()})
        vectors = getattr(output, "pooler_output", output).float().cpu().numpy()
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12))


def _locate(model: str) -> Path | None:
    try:
        return locate(model)
    except UserError as error:
        raise UserError(str(error).replace("generator.model", "screening.clip_model")) from None


class ClipScore(Criterion):
    """Rejects images that agree with the name of their class less than nearly all real ones do, or than a threshold.

    The score is the cosine of image and prompt (Hessel, J. et al. (2021). CLIPScore: a reference-free evaluation
    metric for image captioning. EMNLP, 7514-7528).

    Args:
        settings: of the screening.
        clip: the model.
        folder: of the features of images.
        share: real training images of the arm.
    """

    def __init__(self, settings: ScreeningSettings, clip: ClipImages, folder: Path, share: Sequence[Sample]) -> None:
        super().__init__()
        self._settings, self._clip, self._share = settings, clip, share
        self._features = FeatureStore(folder, clip)
        self._prompt: NDArray[np.float32] = np.zeros(clip.dimension, dtype=np.float32)
        self._limit = 0.0

    def begin(self, class_name: str, kept: Sequence[Candidate]) -> None:
        """Turn to a class.

        Args:
            class_name: its name.
            kept: images of it that are kept already.

        Raises:
            UserError: the arm has no real image of it, and the limit is a percentile.
        """
        self._prompt = self._clip.embed_text(
            self._settings.clip_prompt.replace("{class_name}", class_name.replace("_", " "))
        )
        limits = [-np.inf if self._settings.clip_threshold is None else self._settings.clip_threshold]
        if (percentile := self._settings.clip_percentile) is not None:
            share = [sample for sample in self._share if sample.class_name == class_name]
            if not share:
                raise UserError(
                    f"screening.clip_percentile={percentile}: the arm has no real training image of {class_name}: "
                    "choose a mix with real images, or a score with screening.clip_percentile=null "
                    "screening.clip_threshold=0.2."
                )
            limits.append(float(np.percentile(self._scores(share), percentile)))
        self._limit = max(limits)
        self.thresholds[f"{CLIP}: {class_name}"] = round(self._limit, 6)

    def judge(self, candidates: Sequence[Candidate]) -> list[Finding | None]:
        """Return which images agree too little with the name of their class."""
        scores = self._scores([candidate.sample for candidate in candidates])
        return [Finding(CLIP, score=float(score)) if score < self._limit else None for score in scores]

    def _scores(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        return self._features.of(samples) @ self._prompt
