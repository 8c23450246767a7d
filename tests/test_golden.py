"""`tests/factories/golden.py`: a golden file that differs fails, and is only written on request."""

from pathlib import Path

import pytest

from tests.factories import golden


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "GOLDEN", tmp_path / "golden")
    monkeypatch.delenv(golden.UPDATE, raising=False)


def test_a_golden_file_is_written_on_request_and_compared_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError, match="does not exist"):
        golden.assert_golden("table.txt", "a  1\n")
    with monkeypatch.context() as updating:
        updating.setenv(golden.UPDATE, "1")
        golden.assert_golden("table.txt", "a  1\n")
    assert (tmp_path / "golden" / "table.txt").read_bytes() == b"a  1\n"
    golden.assert_golden("table.txt", "a  1\n")


def test_a_difference_fails_with_a_diff(tmp_path: Path) -> None:
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / "table.txt").write_text("a  1\nb  2\n")
    with pytest.raises(AssertionError, match=r"-b  2\n\+b  3"):
        golden.assert_golden("table.txt", "a  1\nb  3\n")
    with pytest.raises(AssertionError):
        golden.assert_golden("table.txt", "a  1\nb  2")
