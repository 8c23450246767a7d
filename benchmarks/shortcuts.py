"""What file format, size and pixels tell of the origin of images, before and after `generator.image_format=match`.

    python -m benchmarks.shortcuts <real> <synthetic>          # two folders with one folder of images per class
    python -m benchmarks.shortcuts <real> <synthetic> --png    # the synthetic ones as PNG files, as they are generated

The probes are those of a report (`analysis.validity.probe`); so are the numbers of images.
"""

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from synthaug import files
from synthaug.analysis.validity.shortcuts import image_checks
from synthaug.data.decoding import decode
from synthaug.data.folders import class_files, class_folders
from synthaug.data.samples import REAL, Sample
from synthaug.generation.folder import FolderGenerator, FolderPool
from synthaug.generation.image_formats import MatchedFormats


def listed(root: Path) -> list[Sample]:
    """Return the images of a folder of classes."""
    return [
        Sample(path, label, name, REAL, files.sha256(path))
        for label, name in enumerate(class_folders(root))
        for path in class_files(root, name)
    ]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("--png", action="store_true")
    arguments = parser.parse_args()
    real, root = listed(arguments.real), arguments.synthetic
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.png:
            root = Path(temporary) / "png"
            for sample in listed(arguments.synthetic):
                (root / sample.class_name).mkdir(parents=True, exist_ok=True)
                image = Image.fromarray(decode(sample.path, None))
                image.save(root / sample.class_name / f"{sample.path.stem}.png")
        folder, classes = Path(temporary) / "kept", class_folders(root)
        before = FolderPool(folder, FolderGenerator(str(root))).samples(classes)
        after = FolderPool(folder, FolderGenerator(str(root)), MatchedFormats(folder, real)).samples(classes)
        print("| told by | images of each | accuracy before | after | AUC before | after |\n|---|---|---|---|---|---|")
        for first, second in zip(image_checks(real, before), image_checks(real, after), strict=True):
            cells = [
                f"{data['value']:.2f} ({data['low']:.2f} to {data['high']:.2f})"
                for pair in (
                    [{**check.data, "value": check.data["accuracy"]} for check in (first, second)],
                    [check.data["auc"] for check in (first, second)],
                )
                for data in pair
            ]
            print(f"| {first.code.removeprefix('origin_by_')} | {first.data['images']} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
