"""Writes the tables of docs/performance.md from the records. `--check` only says whether they are up to date.

python benchmarks/render.py [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "benchmarks" / "records"
PAGE = ROOT / "docs" / "performance.md"
START, END = "<!-- record: {name} -->", "<!-- end -->"


def rendered(page: str) -> str:
    """The page with every table made anew from the record that its marker names."""
    parts = page.split("<!-- record: ")
    result = parts[0]
    for part in parts[1:]:
        name, rest = part.split(" -->", 1)
        after = rest.split(END, 1)[1]
        record = json.loads((RECORDS / name).read_text(encoding="utf-8"))
        result += START.format(name=name) + "\n\n" + table(record, name) + "\n" + END + after
    return result


def table(record: dict[str, Any], name: str) -> str:
    """The record as a Markdown table, with where it comes from."""
    machine = record["machine"]
    lines = [
        f"`{record['command']}`, {record['date'][:10]}, commit `{record['commit'][:12]}`, {machine['cpu']} "
        f"({machine['instructions']}), {machine['cores']} cores, torch {machine['torch']}, "
        f"transformers {machine['transformers']} ([record](../benchmarks/records/{name})).",
        "",
        "| figure | value | target | |",
        "| --- | ---: | ---: | --- |",
    ]
    lines += [_row(figure) for figure in record["figures"]]
    return "\n".join(lines) + "\n"


def _row(figure: dict[str, Any]) -> str:
    sign = "≤" if figure["better"] == "lower" else "≥"
    target = "" if figure["target"] is None else f"{sign} {figure['target']:g}"
    verdict = {None: "", True: "met", False: "**missed**"}[figure["met"]]
    note = "; ".join(part for part in (verdict, figure["note"]) if part)
    return f"| {figure['name']} | {figure['value']:.3g} {figure['unit']} | {target} | {note} |"


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    fresh = rendered(page)
    if "--check" in sys.argv[1:]:
        sys.exit(0 if fresh == page else "docs/performance.md is not what the records say: run benchmarks/render.py")
    PAGE.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
