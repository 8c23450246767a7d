"""From a study's folder to its files."""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from synthaug import image_files
from synthaug.analysis.output import report_cache
from synthaug.analysis.pipeline import show_report
from synthaug.files import write_json
from synthaug.runs import contents, discovery, layout
from tests.factories.origins import make_pictured_study


def add_shift_set(study: Path, name: str) -> None:
    """Evaluate every run on a shift set, with the predictions for its own test set."""
    for run in discovery.find_runs(study):
        folder = layout.shift_folder(run.folder, name)
        contents.write_predictions(folder, contents.read_predictions(run.folder))
        facts = {"format": layout.FORMAT, "origin": "real", "paired_with": "test", "digest": "d" * 64}
        write_json(folder / layout.RESULT, facts)


def test_a_report_reads_each_file_of_a_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_pictured_study(tmp_path)
    for name in ("noise-1", "noise-3"):
        add_shift_set(study, name)
    read = {layout.RESULT, layout.MIX, layout.HISTORY, layout.PREDICTIONS, layout.PLANNED}
    files = [path for path in study.rglob("*") if path.name in read]
    assert len(files) == 1 + 3 * (4 + 2 * 2), "the plan; of three runs four files, and two of each shift set"
    reads: Counter[Path] = Counter()
    opener = io.open

    def counted(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if "r" in mode:
            reads[Path(file)] += 1
        return opener(file, mode, *arguments, **options)

    monkeypatch.setattr(report_cache, "_MOST_HASHED", -1)  # which reads them once more
    monkeypatch.setattr(io, "open", counted)  # of paths
    monkeypatch.setattr(image_files, "open", counted, raising=False)
    show_report(study)
    assert {path: reads[path] for path in files} == dict.fromkeys(files, 1)
    assert {"results.csv", "results.json", "results.md", "results.tex", "report.html", "checks.json"} <= {
        path.name for path in study.iterdir()
    }
