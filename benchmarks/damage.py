"""Bits that flip and files that lose their end, in all files of a study: the right result again, or a sentence.

    python -m benchmarks.damage --cases 500          # half an hour of one idle core
    python -m benchmarks.damage --seed 42 --cases 1  # one case again, as a failure names it

A case damages one file of a small study with its synthetic set at a random place, once in a finished study and once in
one whose second arm is still to be trained, and gives a command to it: the sweep, `report`, `generate` or `predict`.
Nothing on the disk is trusted without its hash: no command ends with a traceback; and where it ends well,
the runs have the predictions, and the set the images, of an undisturbed study. A disk that returns other bytes
than were written, and a file of another node that came over half, look just so.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.errors import UserError
from synthaug.files import read_json, sha256
from synthaug.runs import layout
from tests.factories.commands import Commands

_WORDS = ("-m", "mix=real,55")
_MOST_SHOWN = 40
# What is only read by people, or made anew each time.
_UNREAD = ("log.txt", ".lock", "report.html", "set.html")


@dataclass(frozen=True)
class Outcome:
    """What a case came to.

    Attributes:
        file: that was damaged, without what differs between runs.
        how: it was damaged.
        command: that met it.
        code: its exit code.
        verdict: "right", "said", "wrong", "traceback" or "silent".
        answer: the last line.
    """

    file: str
    how: str
    command: str
    code: int
    verdict: str
    answer: str


class Damage:
    """A finished study and a half-finished one, and what is right in them.

    Args:
        folder: for the copies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.halves = Commands(folder / "half", {"SYNTHAUG_TARGETS": "tests"})
        self._expect(self.halves, "-m", "mix=55", "seed=0")
        self.finished = self.halves.copy_to(self.folder / "finished")
        self._expect(self.finished, *_WORDS)
        self.right = predictions(self.finished), images(self.finished)

    def case(self, seed: int) -> Outcome:
        """Damage a file, and give the study a command."""
        chance = random.Random(seed)
        is_finished = chance.random() < 0.6
        lab = (self.finished if is_finished else self.halves).copy_to(self.folder / "lab")
        files = [path for path in sorted((lab.folder / "outputs").rglob("*")) if path.is_file()]
        # Few files are many: each kind of file is as likely as another.
        kinds: dict[str, list[Path]] = {}
        for path in files:
            if path.name not in _UNREAD and path.stat().st_size:
                kinds.setdefault(self._kind(path, lab), []).append(path)
        kind = chance.choice(sorted(kinds))
        path = chance.choice(kinds[kind])
        how = damage(path, chance)
        commands = ["train", "train", "report", "generate", "predict"] if is_finished else ["train", "generate"]
        command = chance.choice(commands)
        match command:
            case "train":
                process = lab.start(*_WORDS)
            case "generate":
                process = lab.start("per_class=6", "quality=null", command="generate")
            case "report":
                process = lab.start_plain("report", ["outputs/default"])
            case _:
                process = lab.start_plain("predict", [str(lab.run_folder("55")), "photos/test", "-o", "new.csv"])
        code, printed = process.wait(240), (lab.folder / "log").read_text(encoding="utf-8", errors="replace")
        lines = printed.strip().splitlines()
        verdict = self._verdict(lab, path, command, code, printed)
        outcome = Outcome(kind, how, command, code, verdict, lines[-1][:200] if lines else "")
        if verdict not in ("right", "said"):
            kept = self.folder / "failures" / str(seed)
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(printed, encoding="utf-8")
        shutil.rmtree(lab.folder)
        return outcome

    def _verdict(self, lab: Commands, damaged: Path, command: str, code: int, printed: str) -> str:
        if "Traceback" in printed:
            return "traceback"
        if code not in (0, 1, 2):
            return f"exit code {code}"
        if code:
            return "said" if printed.strip() else "silent"
        right_predictions, right_images = self.right
        if command in ("train", "report") and not table_is_right(lab, right_predictions):
            return "wrong table"
        if command in ("train", "generate"):
            present = images(lab)
            # Neither reads an image that it has: its pixels are stored by the hash of what was listed. Whatever decodes
            # the file (a store that lacks it, `verify`, `export`) compares its hash and says so.
            root = lab.folder / "outputs" / "synthetic"
            present.pop(str(damaged.relative_to(root)) if damaged.is_relative_to(root) else "", None)
            if any(present.get(name, digest) != digest for name, digest in right_images.items()):
                return "wrong image"
        if command == "predict" and (lab.folder / "new.csv").read_bytes() != self._new_predictions():
            return "wrong prediction"
        return "right"

    def _new_predictions(self) -> bytes:
        path = self.finished.folder / "new.csv"
        if not path.exists():
            words = [str(self.finished.run_folder("55")), "photos/test", "-o", "new.csv"]
            assert self.finished.start_plain("predict", words).wait(240) == 0
        return path.read_bytes()

    def _kind(self, path: Path, lab: Commands) -> str:
        """Return the path below the outputs, runs and images of a kind alike."""
        parts = path.relative_to(lab.folder / "outputs").parts
        if parts[0] in ("synthetic", "pixels", "splits", "features"):
            return f"{parts[0]}/…/{'*' if path.suffix in ('.png', '.jpg') else ''}{path.suffix or path.name}"
        return f"run/{path.name}" if len(parts) > 3 else f"study/{path.name}"

    @staticmethod
    def _expect(lab: Commands, *words: str) -> None:
        code, printed = lab.run(*words)
        assert code == 0, printed


def damage(path: Path, chance: random.Random) -> str:
    """Damage a file in place, with the times that it had; return how."""
    content, times = bytearray(path.read_bytes()), path.stat()
    how = chance.choice(("a bit", "a bit", "cut", "zeros", "emptied"))
    place = chance.randrange(len(content))
    match how:
        case "a bit":
            content[place] ^= 1 << chance.randrange(8)
        case "cut":
            del content[place:]
        case "zeros":
            content[place : place + 512] = bytes(len(content[place : place + 512]))
        case _:
            content.clear()
    path.write_bytes(content)
    if chance.random() < 0.5:  # a disk changes no times; a copy does
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return f"{how} at {place} of {times.st_size}"


def predictions(lab: Commands) -> dict[str, str]:
    """Return the hashes of the predictions of each run."""
    runs = lab.study().glob(f"photos/*/seed*/{layout.PREDICTIONS}")
    return {path.parts[-3].partition("-")[0]: sha256(path) for path in sorted(runs)}


def images(lab: Commands) -> dict[str, str]:
    """Return the hashes of the synthetic images."""
    root = lab.folder / "outputs" / "synthetic"
    return {str(path.relative_to(root)): sha256(path) for path in sorted(root.rglob("*.png"))}


def table_is_right(lab: Commands, right: dict[str, str]) -> bool:
    """Whether every run that counts as finished has the right predictions, and the table the right accuracies."""
    return all(right[name] == digest for name, digest in predictions(lab).items()) and accuracies(lab)


def accuracies(lab: Commands) -> bool:
    """Whether the results of runs can be read, and are those of their predictions."""
    from synthaug.runs import contents

    for path in lab.study().glob(f"photos/*/seed*/{layout.RESULT}"):
        try:
            result, predicted = read_json(path), contents.read_predictions(path.parent)
        except UserError:
            return False
        if abs(result["test"]["accuracy"] - float((predicted.labels == predicted.predicted).mean())) > 1e-6:
            return False
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Damage files; return 1 where one of them was not met well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="of the first case")
    parsed = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="damage-"))
    bench, began = Damage(folder), time.monotonic()
    outcomes: list[Outcome] = []
    for number, seed in enumerate(range(parsed.seed, parsed.seed + parsed.cases), 1):
        outcome = bench.case(seed)
        outcomes.append(outcome)
        if outcome.verdict not in ("right", "said") or parsed.cases == 1:
            print(f"{outcome.verdict}: {outcome.file} ({outcome.how}), {outcome.command}, code {outcome.code}")
            print(f"    {outcome.answer}\n    python -m benchmarks.damage --seed {seed} --cases 1", flush=True)
        elif number % 10 == 0:
            left = (time.monotonic() - began) / number * (parsed.cases - number) / 60
            print(f"{number} of {parsed.cases} cases, {left:.0f} min left", flush=True)
    print("\n| file | damaged | right again | said | wrong |\n|---|---|---|---|---|")
    for kind in sorted({outcome.file for outcome in outcomes}):
        verdicts = Counter(outcome.verdict for outcome in outcomes if outcome.file == kind)
        wrong = sum(verdicts.values()) - verdicts["right"] - verdicts["said"]
        print(f"| {kind} | {sum(verdicts.values())} | {verdicts['right']} | {verdicts['said']} | {wrong} |")
    bad = [outcome for outcome in outcomes if outcome.verdict not in ("right", "said")]
    print(f"{len(outcomes)} damages in {(time.monotonic() - began) / 60:.0f} min, {len(bad)} not met well")
    if bad:
        print(f"what was printed: {folder / 'failures'}")
    else:
        shutil.rmtree(folder)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
