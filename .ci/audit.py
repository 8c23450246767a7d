"""Fail where the oldest versions that pyproject.toml allows have a known vulnerability, as pip-audit knows them.

Where pip-audit or its database cannot be reached, that is said, and nothing fails.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

_FLOOR = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?>=([0-9][^,;\s]*)")


def floors(pyproject: Path) -> list[str]:
    """Return the least version of each requirement, those of extras included, as `name==version`."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    listed = [
        *project["dependencies"],
        *(line for lines in project["optional-dependencies"].values() for line in lines),
    ]
    return sorted({f"{match[1].lower()}=={match[2]}" for line in listed if (match := _FLOOR.match(line))})


def main() -> int:
    """Audit the floors; return 1 where one is vulnerable."""
    pinned = floors(Path(__file__).parents[1] / "pyproject.toml")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "floors.txt").write_text("\n".join(pinned) + "\n", encoding="utf-8")
        try:
            venv.create(folder / "venv", with_pip=True)
            python = folder / "venv" / "bin" / "python"
            subprocess.run([python, "-m", "pip", "install", "--quiet", "pip-audit"], check=True, timeout=300)
            words = ["-r", folder / "floors.txt", "--no-deps", "--disable-pip", "--format", "json"]
            words += ["--progress-spinner", "off"]
            audit = subprocess.run(
                [python, "-m", "pip_audit", *words], capture_output=True, text=True, timeout=300, check=False
            )
            entries = list(json.loads(audit.stdout)["dependencies"])
        except (OSError, subprocess.SubprocessError) as error:
            print(f"no audit: pip-audit cannot be had ({type(error).__name__})")
            return 0
        except (ValueError, LookupError, TypeError):
            last = next(reversed(audit.stderr.strip().splitlines()), "it says nothing")
            print(f"no audit: pip-audit ended with {audit.returncode} ({last})")
            return 0
    skipped = [entry["name"] for entry in entries if "skip_reason" in entry]
    for entry in entries:
        for advisory in entry.get("vulns", ()):
            fixed = ", ".join(advisory["fix_versions"]) or "nowhere yet"
            print(f"{entry['name']} {entry['version']}: {advisory['id']}, fixed in {fixed}")
    if skipped:
        print(f"not audited, as the database did not answer for them: {', '.join(skipped)}")
    vulnerable = sum(bool(entry.get("vulns")) for entry in entries)
    print(f"{len(entries) - len(skipped)} of {len(pinned)} floors audited, {vulnerable} with a known vulnerability")
    return int(vulnerable > 0)


if __name__ == "__main__":
    sys.exit(main())
