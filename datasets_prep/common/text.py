"""Text that commands and reports share: the near match of a misspelt name, and Markdown tables."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def did_you_mean(name: object, known: Iterable[object], *, cutoff: float = 0.6) -> str:
    """`did you mean 'x'?` for the known name that is most like `name`; empty when none is.

    Args:
        name: as the user wrote it.
        known: the names that exist.
        cutoff: smallest likeness that counts, 0 to 1 (difflib).
    """
    near = get_close_matches(str(name), sorted(map(str, known)), n=1, cutoff=cutoff)
    return f"did you mean {near[0]!r}?" if near else ""


def with_hint(text: str, hint: str) -> str:
    """`text; hint`, or the text alone where there is no hint."""
    return f"{text}; {hint}" if hint else text


def told_apart(*numbers: float, digits: int = 3) -> list[str]:
    """Numbers as text: `digits` significant digits, or as many more as make different numbers look different."""
    texts: list[str] = []
    for more in range(digits, 18):  # 17 digits tell all floats apart
        texts = [f"{number:.{more}g}" for number in numbers]
        if len(set(texts)) == len(set(numbers)):
            break
    return texts


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, rule: str = "---") -> str:
    """A Markdown table.

    Args:
        header: names of the columns, as Markdown.
        rows: cells of each row, as Markdown.
        rule: text of a cell in the line below the header; a data card has ` --- `.
    """
    head, *body = (f"| {' | '.join(cells)} |" for cells in (header, *rows))
    return "\n".join([head, "|" + f"{rule}|" * len(header), *body])
