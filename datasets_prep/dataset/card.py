"""The data card: what a data set is made of, for people. Text in `card.md`, pictures in `card.png`."""

from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.common.files import write_file
from datasets_prep.dataset.card_picture import draw_card
from datasets_prep.dataset.card_text import card_text, read_facts


def write_card(folder: Path) -> None:
    """Write `card.md` and `card.png` of the data set in `folder`; the same data set gives the same card.

    Both are made from the manifest, the LMDBs, and as far as they are there `slides.csv`, `build.json` and `slides/`.
    Their length is bounded, however many slides there are. Raises `UserError` where one of these files is damaged, or
    the card cannot be written.
    """
    facts = read_facts(folder)
    picture = draw_card(facts)
    try:
        write_file(folder / "card.png", picture)
        write_file(folder / "card.md", card_text(facts).encode())
    except OSError as error:
        raise UserError(f"cannot write the card of {folder}: {error.strerror or error}; free space") from error
