"""A table of text, written as Markdown and as LaTeX."""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from datasets_prep.common.files import write_file
from datasets_prep.common.text import markdown_table

_TEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
_TEX |= {"^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "±": r"$\pm$", "Δ": r"$\Delta$", "×": r"$\times$"}
_TEX |= {"<": "$<$", ">": "$>$", "✓": r"\checkmark{}", "τ": r"$\tau$", "β": r"$\beta$", "λ": r"$\lambda$"}


@dataclass(frozen=True)
class Table:
    """A table as it is printed.

    Attributes:
        title: above it.
        columns: their heads.
        rows: their cells.
        best: (row, column) of the cells that are set bold.
        note: below it.
        captions: head of a column -> what it shows.
        remarks: lines below the note.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    best: Set[tuple[int, int]] = frozenset()
    note: str = ""
    captions: Mapping[str, str] = field(default_factory=dict)
    remarks: Sequence[str] = ()

    @property
    def legend(self) -> str:
        """All captions in one line."""
        return "; ".join(f"{head}: {caption}" for head, caption in self.captions.items())


def write(tables: Sequence[Table], path: Path) -> None:
    """Write the tables as Markdown and LaTeX: `path` with `.md` and `.tex`. Raises `OSError`."""
    write_file(path.with_suffix(".md"), markdown(tables).encode())
    write_file(path.with_suffix(".tex"), latex(tables).encode())


def markdown(tables: Sequence[Table]) -> str:
    """The tables as Markdown, one below the other."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    rows = [
        [f"**{cell}**" if (row, column) in table.best and cell else cell for column, cell in enumerate(cells)]
        for row, cells in enumerate(table.rows)
    ]
    note = ["", table.note] if table.note else []
    remarks = ["", *(f"* {remark}" for remark in table.remarks)] if table.remarks else []
    legend = ["", f"Columns: {table.legend}."] if table.captions else []
    return "\n".join([f"### {table.title}", "", markdown_table(table.columns, rows), *note, *remarks, *legend, ""])


def latex(tables: Sequence[Table]) -> str:
    """The tables for LaTeX with the packages booktabs and (for check marks) amssymb."""
    return "\n".join(_latex(table) for table in tables)


def _latex(table: Table) -> str:
    rows = [
        [
            rf"\textbf{{{_tex(cell)}}}" if (row, column) in table.best else _tex(cell)
            for column, cell in enumerate(cells)
        ]
        for row, cells in enumerate(table.rows)
    ]
    texts = [f"{table.title}.", table.note, *table.remarks, f"{table.legend}." if table.captions else ""]
    lines = [
        r"\begin{table}",
        rf"\caption{{{_tex(' '.join(text for text in texts if text))}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule",
        _latex_row([_tex(head) for head in table.columns]),
        r"\midrule",
        *map(_latex_row, rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _tex(text: str) -> str:
    return re.sub(r"[&%$#_{}~^\\±Δ×<>✓τβλ]", lambda match: _TEX[match[0]], text)
