"""The data card describes a data set to people: `card.md` holds the text, `card.png` the pictures."""

from pathlib import Path

from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.files import write_file
from datasets_prep.dataset.card_text import card_text, find_warnings, read_facts


def write_card(folder: Path) -> list[str]:
    """Write `card.md` and `card.png` of the data set in `folder`, and return the warnings on it.

    The same data set always gives the same card. Both files are made from the manifest, the LMDBs and, where they
    exist, `slides.csv`, `build.json` and `slides/`. Their length is bounded, with any number of slides.

    Raises:
        UserError: one of these files is damaged, or the card cannot be written.
    """
    from datasets_prep.dataset.card_picture import draw_card  # Matplotlib takes half a second to import

    facts = read_facts(folder)
    picture = draw_card(facts)
    try:
        write_file(folder / "card.png", picture)
        write_file(folder / "card.md", card_text(facts).encode())
    except OSError as error:
        raise UserError(f"cannot write the card of {folder}: {reason_of(error)}; free space") from error
    return find_warnings(facts)
