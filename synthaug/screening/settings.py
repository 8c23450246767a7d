"""The settings of screening: the group `screening` of the configuration, and which of its values are valid."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

STOP, DROP, KEEP, IGNORE = "stop", "drop", "keep", "ignore"
NO_SCREENING = {"test_copies": IGNORE, "train_copies": IGNORE, "duplicates": IGNORE}
ON_TEST_COPIES = (STOP, DROP, IGNORE)
ON_TRAIN_COPIES = (KEEP, DROP, IGNORE)
ON_DUPLICATES = (DROP, IGNORE)


@dataclass
class ScreeningSettings:
    """What a synthetic image is rejected for.

    Attributes:
        name: of the choice of settings.
        test_copies: what copies of validation and test images do: "stop" the command, "drop" them, or "ignore" them.
        train_copies: whether copies of real training images are counted and kept ("keep"), dropped, or not searched.
        duplicates: whether copies of images before them in their class are dropped, or not searched.
        copy_backbone: features by which copies are searched as well, such as "resnet18"; None: by pixels alone.
        copy_similarity: cosine of two images' features from which on they are copies.
        clip_percentile: images whose CLIP score is below this percentile of the scores of the arm's real training
            images of their class are dropped; None: that is not a criterion.
        clip_threshold: images with a lower CLIP score are dropped; None likewise.
        clip_model: a folder, or a model of the hub.
        clip_revision: commit of the model.
        clip_prompt: what an image is compared with.
        teacher: features on which a logistic regression learns the arm's real training images; images that it takes
            for another class are dropped. None: no teacher.
        teacher_probability: images with a lower probability of their class are dropped, in the place of those whose
            most probable class is another one.
        knn: features in which the distance to the arm's nearest real training images of the class is measured; None:
            it is not.
        knn_neighbours: which neighbour counts, the k-th nearest.
        knn_percentile: images further away than this percentile of the real images from each other are dropped.
        reject_list: file of rejected images, one path or SHA-256 per line, or a CSV file with one in a column of that
            name.
    """

    name: str | None = None
    test_copies: str = STOP
    train_copies: str = KEEP
    duplicates: str = DROP
    copy_backbone: str | None = None
    copy_similarity: float = 0.97
    clip_percentile: float | None = None
    clip_threshold: float | None = None
    clip_model: str = "openai/clip-vit-base-patch32"
    clip_revision: str | None = "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268"
    clip_prompt: str = "a photo of a {class_name}"
    teacher: str | None = None
    teacher_probability: float | None = None
    knn: str | None = None
    knn_neighbours: int = 5
    knn_percentile: float = 95.0
    reject_list: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "ScreeningSettings":
        """Return the settings of a group `screening`."""
        names = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in names})

    @property
    def searches_copies(self) -> bool:
        """Whether copies of real images are searched."""
        return self.test_copies != IGNORE or self.train_copies != IGNORE

    @property
    def scores_by_clip(self) -> bool:
        """Whether images have a CLIP score."""
        return self.clip_percentile is not None or self.clip_threshold is not None

    @property
    def is_active(self) -> bool:
        """Whether any image could be rejected or counted."""
        return bool(self.searches_copies or self.duplicates != IGNORE or self.needs_real_share or self.reject_list)

    @property
    def needs_real_share(self) -> bool:
        """Whether the verdicts depend on the real training images of the arm, and not only on those of the dataset."""
        return self.clip_percentile is not None or self.teacher is not None or self.knn is not None

    @property
    def criteria(self) -> dict[str, Any]:
        """All that decides on verdicts: what has no effect is left out."""
        values = asdict(self)
        values.pop("name")
        values["test_copies"] = IGNORE if self.test_copies == IGNORE else DROP  # stopping rejects the same images
        used = {
            "copy_": self.copy_backbone and self.searches_copies,
            "clip_": self.scores_by_clip,
            "teacher_": self.teacher,
            "knn_": self.knn,
            "reject_list": False,  # its entries count, wherever the file is
        }
        return {
            key: value
            for key, value in values.items()
            if value is not None and all(is_used or not key.startswith(prefix) for prefix, is_used in used.items())
        }
