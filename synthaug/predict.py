"""Classify new photographs with the best checkpoint of a finished run.

python -m synthaug.predict outputs/default/digits/64-*/seed0 new_photos
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from synthaug.data.folders import files_below
from synthaug.errors import UserError, explain, raise_all
from synthaug.exit_codes import exit_code
from synthaug.files import resolved, why_not_writable
from synthaug.messages import bullets, plural
from synthaug.runs import discovery, layout
from synthaug.terminal import printable, tolerant_output

if TYPE_CHECKING:  # imports torch, which --help and a wrong folder do without
    from synthaug.training.prediction import Classified

_DESCRIPTION = """Classify new photographs with the best checkpoint of a finished run, shown as
the run showed its test images. Writes one line per image: path, predicted
class, confidence (its probability, not calibrated on your photographs), and
the probability of every class as p:<class>."""
_EPILOG = """example:
  python -m synthaug.predict \\
      outputs/default/digits/64-*/seed0 new_photos

Exit codes: 0 everything is classified; 1 the file cannot be written; 2 a wrong
folder, or files that are not images;
128+n stopped by signal n (130 Ctrl-C, 143 SIGTERM)."""
_MOST_LISTED = 100
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Model:
    """A checkpoint to be loaded, the class of its model (None: ours), and how it is called in a file's name."""

    checkpoint: Path
    target: str | None
    label: str


@tolerant_output()
def main(arguments: Sequence[str] | None = None) -> int:
    """Check the arguments, classify, write; return the exit code."""
    parser = ArgumentParser(
        prog="python -m synthaug.predict",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="folder of a finished run, or a best.ckpt of one")
    parser.add_argument("images", type=Path, help="folder of images, with all folders in it")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="by default ./<images>-<mix>-seed<k>.csv")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images at once (64)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps; by default a GPU where there is one")
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out files that are not whole images")
    parsed = parser.parse_args(arguments)
    if reason := why_not_writable((parsed.output or Path()).parent):
        print(f"The predictions cannot be written: {reason}; give another file with --output.", file=sys.stderr)
        return 1
    return exit_code(
        lambda: _predict(
            *_check(parsed.run, parsed.images, parsed.output, parsed.batch_size),
            parsed.device,
            parsed.batch_size,
            parsed.skip_unreadable,
        )
    )


def _predict(
    model: _Model, images: Sequence[Path], output: Path, device: str, batch_size: int, skip_unreadable: bool
) -> int:
    classified = _classify(model, images, device, batch_size, skip_unreadable)
    from synthaug.training.prediction import write_classified

    write_classified(output, classified)
    counts = Counter(classified.predicted)
    listed = ", ".join(f"{name}: {counts[name]:,}" for name in classified.classes if counts[name])
    print(printable(f"{plural(len(classified.paths), 'image')} classified ({listed}); see {output}"))
    return 0


def _check(run: Path, folder: Path, output: Path | None, batch_size: int) -> tuple[_Model, list[Path], Path]:
    """Return the model, the images and the file to write; raise all that is wrong at once, before torch is imported."""
    problems: list[str] = []

    def attempt(find: Callable[[], _T]) -> _T | None:
        try:
            return find()
        except (UserError, OSError) as error:
            problems.append(explain(error))
            return None

    model = attempt(lambda: _find_model(run))
    file = output or Path(f"{resolved(folder).name}-{model.label if model else ''}.csv")
    images = attempt(lambda: _find_images(folder, file))
    if file.is_dir():
        problems.append(f"--output {file} is a folder: give the name of a file in it.")
    if batch_size < 1:
        problems.append(f"--batch-size {batch_size}: must be at least 1.")
    raise_all("Nothing was classified:", problems)
    assert model is not None
    assert images is not None
    return model, images, file


def _find_model(path: Path) -> _Model:
    if path.suffix == ".ckpt" and path.is_file():
        return _Model(path, None, path.stem)
    run = discovery.load_run(path)
    checkpoint = path / layout.CHECKPOINT
    if not checkpoint.is_file():
        raise UserError(
            f"There is no {checkpoint} to classify with: it was removed. Restore it, or train the run again with "
            "overwrite=true."
        )
    layout.require_as_written(path, layout.CHECKPOINT, run.result)
    settings = (run.result or {}).get("settings", {})
    return _Model(checkpoint, settings.get("model", {}).get("_target_"), run.label)


def _find_images(folder: Path, output: Path) -> list[Path]:
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "is not a folder"
        raise UserError(f"{folder} {what}. Give a folder of images.")
    images = [path for path in files_below(folder, folder) if resolved(path) != resolved(output)]
    if not images:
        raise UserError(f"{folder} has no images, nor have its folders. Give a folder of images.")
    return images


def _classify(
    model: _Model, images: Sequence[Path], device: str, batch_size: int, skip_unreadable: bool
) -> "Classified":
    from synthaug.models import checkpoints
    from synthaug.training import lightning_rules, prediction

    lightning_rules.quiet_libraries()
    classifier = checkpoints.load_classifier(model.checkpoint, device, model.target or checkpoints.CLASSIFIER)
    classified = prediction.classify(classifier, images, batch_size)
    if classified.unreadable:
        what = plural(len(classified.unreadable), "file is not a whole image", "files are not whole images")
        listed = bullets([f"{path}: {reason}" for path, reason in classified.unreadable.items()], _MOST_LISTED)
        if not skip_unreadable or not classified.paths:
            remedy = "Remove them, or leave them out with --skip-unreadable."
            raise UserError(f"Nothing was written: {what}:\n{listed}\n{remedy}")
        print(printable(f"{what} and left out:\n{listed}"), file=sys.stderr)
    return classified


if __name__ == "__main__":
    sys.exit(main())
