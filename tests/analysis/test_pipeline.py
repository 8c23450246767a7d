"""From a study's folder to its files."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from synthaug.analysis.pipeline import make_report
from synthaug.runs import contents
from tests.factories.origins import make_pictured_study

READERS = ("read_mix", "read_history", "read_predictions")


def test_a_report_reads_each_file_of_a_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_pictured_study(tmp_path)
    reads: Counter[tuple[str, str]] = Counter()

    def counted(name: str) -> Any:
        reader = getattr(contents, name)

        def read(folder: Path, *arguments: Any, **options: Any) -> Any:
            reads[name, folder.parent.name] += 1
            return reader(folder, *arguments, **options)

        return read

    for name in READERS:
        monkeypatch.setattr(contents, name, counted(name))
    make_report(study)
    assert reads == Counter({(name, arm): 1 for name in READERS for arm in ("real", "64", "real40")})
    assert {"results.csv", "results.json", "results.md", "results.tex", "report.html", "checks.json"} <= {
        path.name for path in study.iterdir()
    }
