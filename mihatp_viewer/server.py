"""The local server of a view: the page, its scene, and the tiles, for this machine alone."""

import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from datasets_prep.common.errors import UserError, reason_of
from mihatp_viewer.page_data import PAGE, SCENE, outlines_script, scene_script
from mihatp_viewer.scene import Scene
from mihatp_viewer.tiles import Encoding, GoneError, NoTileError

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")  # of this machine; a foreign page may point a name of its own at 127.0.0.1
_ENCODING: Encoding = "png"  # without loss: the view is for comparing pixels
_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
    ),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),  # no copies of patients' tissue in the browser's cache on disk
]


class _Index(Convertor[int]):
    """A number of the path; Python refuses to read one of thousands of digits."""

    regex = "[0-9]{1,9}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("index", _Index())

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class _Headers:
    """Adds `_HEADERS` to each answer."""

    def __init__(self, app: Callable[[_Message, _Receive, _Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        async def send_with_headers(message: _Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def application(scene: Scene) -> Starlette:
    """The application that serves a scene: the page, the tiles and the outlines, and no other file."""

    def scene_js(request: Request) -> Response:
        return _script(scene_script(scene, encoding=_ENCODING))

    def layer_js(request: Request) -> Response:
        number = request.path_params["layer"]
        if number >= len(scene.layers) or scene.layers[number].outlines is None:
            return PlainTextResponse(f"there are no outlines {number}", 404)
        return _script(outlines_script(scene.layers[number], number))

    def tile(request: Request) -> Response:
        asked = request.path_params
        encoding = asked["encoding"]
        if asked["image"] >= len(scene.tiles) or encoding != _ENCODING:
            return PlainTextResponse(f"there is no image {asked['image']} in {encoding}", 404)
        try:
            data = scene.tiles[asked["image"]].encoded(
                asked["level"], asked["column"], asked["row"], encoding=_ENCODING
            )
        except NoTileError as error:
            return PlainTextResponse(str(error), 404)
        except GoneError as error:
            return PlainTextResponse(str(error), 410)
        except UserError as error:
            return PlainTextResponse(str(error), 422)
        return Response(data, media_type=f"image/{_ENCODING}")

    return Starlette(
        routes=[
            Route(f"/{SCENE}", scene_js),
            Route("/layers/{layer:index}.js", layer_js),
            Route("/tiles/{image:index}/{level:index}/{column:index}_{row:index}.{encoding}", tile),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        middleware=[Middleware(_Headers), Middleware(TrustedHostMiddleware, allowed_hosts=list(_NAMES))],
    )


def _script(data: bytes) -> Response:
    return Response(data, media_type="text/javascript")


def listen(port: int | None) -> socket.socket:
    """A socket of this machine alone that listens on `port`, or on a free port. Raises `UserError` where it cannot."""
    if port is not None and not 0 < port < 2**16:
        raise UserError(f"--port {port}: give 1 to 65535, or leave it out")
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port or 0))
        listening.listen(256)
    except OSError as error:
        listening.close()
        raise UserError(f"--port {port}: {reason_of(error)}; leave it out to take a free one") from error
    return listening


def serve(scene: Scene, listening: socket.socket) -> None:
    """Serve a scene until Ctrl-C. Earlier requests wait in the socket."""
    config = uvicorn.Config(
        application(scene), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run(sockets=[listening])
