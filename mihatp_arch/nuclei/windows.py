"""The sides of the windows that a HoVer-Net takes: its up-sampled and its skipped features then have one size."""

WINDOW = {"original": 270, "fast": 256}  # px, the smallest, those of the official code: 80 and 164 px of output
_STEP = 8  # px


def is_window(side: int, mode: str) -> bool:
    """Whether a network of this mode takes images of `side` px."""
    return side >= WINDOW[mode] and (side - WINDOW[mode]) % _STEP == 0


def windows_of(mode: str, *, count: int = 2) -> str:
    """The smallest sides, for messages: `256, 264, …`."""
    return ", ".join([*(str(WINDOW[mode] + index * _STEP) for index in range(count)), "…"])
