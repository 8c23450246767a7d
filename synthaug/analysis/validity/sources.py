"""The images that the checks of a study read."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from synthaug.analysis.comparison.model import Group, Reason
from synthaug.analysis.training_images import listed_images, with_most
from synthaug.data.samples import REAL, SYNTHETIC, Sample
from synthaug.errors import UserError
from synthaug.runs.contents import UnreadableFileError
from synthaug.runs.discovery import Run


@dataclass(frozen=True)
class Sources:
    """Lists of images, each of the run that stands for its origin.

    Attributes:
        train: by origin, the training images of the run that has most of them.
        test: paths and classes of the test images.
        test_digest: of all of them, as the runs recorded it.
        problems: by origin, why its list is empty.
    """

    train: Mapping[str, Sequence[Sample]]
    test: tuple[tuple[str, str], ...] = ()
    test_digest: str | None = None
    problems: Mapping[str, Reason] = field(default_factory=dict)

    def reasons(self, *origins: str) -> dict[str, Any]:
        """Return the problems of these origins as the data of a check that could not be made."""
        return {"unlisted": [asdict(self.problems[origin]) for origin in origins if origin in self.problems]}


def sources(group: Group) -> Sources:
    """Choose the images of a group; with folds, those of the first one, whose test images no run of it trains on."""
    runs = [item.run for item in group.runs if item.compared and not item.run.key.fold]
    train: dict[str, Sequence[Sample]] = {}
    problems: dict[str, Reason] = {}
    for origin in (REAL, SYNTHETIC):
        run, train[origin] = with_most(runs, origin), ()
        if run is None:
            problems[origin] = Reason("no_images_of_origin", {"origin": origin})
            continue
        try:
            train[origin] = listed_images(run, origin)
        except UserError as error:
            cause = error.__cause__
            reason = cause.reason if isinstance(cause, UnreadableFileError) else str(error)
            problems[origin] = Reason("unreadable_mix", {"run": run.label, "error": reason})
    rows = range(len(group.labels)) if group.folds is None else np.flatnonzero(group.folds == 0)
    test = tuple((group.paths[row], group.class_names[group.labels[row]]) for row in rows)
    digests = {str((run.result or {})["data"]["test"]) for run in runs} if group.folds is not None else set()
    return Sources(train, test, digests.pop() if digests else group.test_digest, problems)


def of_begun_runs(runs: Sequence[Run], test: tuple[tuple[str, str], ...], test_digest: str) -> Sources:
    """Return what `sources` will choose once runs are finished, if all of them come to their end.

    Args:
        runs: of one dataset without folds, each with its list of training images.
        test: paths and classes of the test images.
        test_digest: of them.
    """
    listed = {origin: [listed_images(run, origin) for run in runs] for origin in (REAL, SYNTHETIC)}
    train = {origin: max(of_runs, key=len, default=()) for origin, of_runs in listed.items()}
    problems = {origin: Reason("no_images_of_origin", {"origin": origin}) for origin, rows in train.items() if not rows}
    return Sources(train, test, test_digest, problems)
