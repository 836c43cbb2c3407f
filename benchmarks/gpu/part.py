"""What the parts of the GPU check share: their sizes, and tables that are on the disk as soon as they are measured."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from machine import describe
from report import Row, Settings, shown

from datasets_prep.common.files import write_file
from datasets_prep.common.text import markdown_table

PASSED = "passed"  # the column of a row that can fail


@dataclass(frozen=True)
class Check:
    """How a part runs.

    Attributes:
        settings: device, threads, repeats and depth of the networks.
        tiny: sizes that a CPU computes in seconds.
        deadline: `time.monotonic` at which the part must end.
        folder: of the results.
        data: a data set for the training of the bundled weights, if there is one.
    """

    settings: Settings
    tiny: bool
    deadline: float
    folder: Path
    data: Path | None

    @property
    def device(self) -> str:
        return self.settings.device

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()


@dataclass
class Results:
    """The tables of one part, as JSON and Markdown.

    Attributes:
        name: of the part.
        check: how it runs.
        tables: rows by title.
    """

    name: str
    check: Check
    tables: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, title: str, rows: Sequence[Row]) -> None:
        """Append rows to a table, and write all tables."""
        self.tables.setdefault(title, []).extend(rows)
        machine = describe(self.check.device, self.check.settings.threads)
        content = {"part": self.name, "machine": machine, "tables": self.tables}
        write_file(self.check.folder / f"{self.name}.json", json.dumps(content, indent=1).encode())
        text = "\n\n".join([f"# {self.name}", machine, *(_table(*table) for table in self.tables.items())])
        write_file(self.check.folder / f"{self.name}.md", f"{text}\n".encode())
        for row in rows:
            print(f"{title}: " + ", ".join(f"{key} {shown(value)}" for key, value in row.items()), flush=True)

    @property
    def failed(self) -> bool:
        return any(row.get(PASSED) == "no" for rows in self.tables.values() for row in rows)


def yes(passed: bool) -> str:
    """The value of `PASSED`."""
    return "yes" if passed else "no"


def _table(title: str, rows: Sequence[Mapping[str, str | float | None]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return f"## {title}\n\n" + markdown_table(columns, [[shown(row.get(key)) for key in columns] for row in rows])
