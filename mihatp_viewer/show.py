"""Show a scene in the browser of this machine, until Ctrl-C."""

import os
import sys
import webbrowser

from mihatp_viewer.scene import Scene
from mihatp_viewer.server import HOST, listen, serve


def show(scene: Scene, *, port: int | None = None, browser: bool = True) -> None:
    """Print the address, open the browser where there is a screen, and serve until Ctrl-C.

    Args:
        scene: what is shown.
        port: of this machine; None: a free one.
        browser: whether to open it.

    Raises:
        UserError: the port is taken.
    """
    listening = listen(port)
    address = f"http://{HOST}:{listening.getsockname()[1]}/"
    names = ", ".join(tiles.path.name for tiles in scene.tiles[: scene.images])
    print(f"{address} shows {names}; Ctrl-C ends it", flush=True)
    if browser and _has_screen():
        webbrowser.open(address)
    try:
        serve(scene, listening)
    except KeyboardInterrupt:
        print(file=sys.stderr)  # below the ^C


def _has_screen() -> bool:
    """Whether a browser can open a window; over SSH it would be a text browser, or nothing."""
    return sys.platform in ("darwin", "win32") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
