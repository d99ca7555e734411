"""The page at `/`: its files, under addresses that change when a file does.

All files but `index.html` are under `/assets/{version}/`, where the version is made of the contents
of all. So browsers keep them for ever, modules import each other by relative names, and nothing
has to be built.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from functools import cache
from html import escape
from mimetypes import guess_type
from pathlib import Path
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..errors import InvalidInput
from .closed import CLOSED
from .route import ProblemRoute, close_paths

ROOT: Final = Path(__file__).parent.parent / "web"
POLICY: Final = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types mythline"
)
"""What the page may load: its own server's answers. One module alone makes HTML (`html.js`)."""
_STYLE: Final = (
    "body{margin:0;height:100vh;display:grid;place-items:center;background:#8881}"
    "img{max-width:100%;max-height:100vh;object-fit:contain}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_YEAR: Final = "public, max-age=31536000, immutable"
_COMPRESSED: Final = {".css", ".html", ".js", ".svg"}


class _File(NamedTuple):
    """A file in memory, as it is and compressed."""

    data: bytes
    packed: bytes
    media_type: str
    tag: str


class _Files(NamedTuple):
    """The page: its start, and what is under `/assets/{version}/` by its path there."""

    start: _File
    assets: dict[str, _File]
    version: str


def _file(name: str, data: bytes) -> _File:
    kind = "text/javascript" if name.endswith(".js") else guess_type(name)[0]
    packed = gzip.compress(data, mtime=0) if Path(name).suffix in _COMPRESSED else data
    return _File(
        data,
        packed,
        kind or "application/octet-stream",
        f'"{hashlib.sha256(data).hexdigest()[:16]}"',
    )


@cache
def _files() -> _Files:
    """The files of the page, read once."""
    root = ROOT / "assets"
    found = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    digest = hashlib.sha256()
    for name, data in found.items():
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    version = digest.hexdigest()[:16]
    index = (ROOT / "index.html").read_text("utf-8")
    modules = "\n".join(  # told at once, or each would be asked for only when another names it
        f'    <link rel="modulepreload" href="assets/{escape(name)}" />'
        for name in found
        if name.endswith(".js") and name != "theme.js"
    )
    index = index.replace("    <!-- modules -->", modules).replace(
        '"assets/', f'"assets/{version}/'
    )
    assets = {name: _file(name, data) for name, data in found.items()}
    return _Files(_file("index.html", index.encode()), assets, version)


def _answer(request: Request, file: _File, headers: dict[str, str]) -> Response:
    headers = {**headers, "ETag": file.tag, "Vary": "Accept-Encoding"}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    data = file.data
    if file.packed is not data and "gzip" in request.headers.get("accept-encoding", ""):
        data = file.packed
        headers["Content-Encoding"] = "gzip"
    return Response(data, headers=headers, media_type=file.media_type)


page = APIRouter(route_class=ProblemRoute, include_in_schema=False)


@page.get("/")
async def index(request: Request) -> Response:
    """The page. What it shows is in the address's query and fragment, which are its own."""
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return _answer(request, _files().start, headers)


@page.get("/assets/{version}/{name:path}")
async def asset(request: Request, version: str, name: str) -> Response:
    """A file of the page, of this version alone."""
    files = _files()
    file = files.assets.get(name) if version == files.version else None
    if file is None:
        raise HTTPException(404, "The page has no such file. Load it again.")
    return _answer(request, file, {"Cache-Control": _YEAR})


@page.get("/picture", dependencies=[CLOSED])
async def picture(url: Annotated[str, Query(max_length=8000)]) -> Response:
    """A picture of another host, in a document that can do nothing but show it.

    The page puts it in a frame when someone asks to see the picture, and so never asks another
    host itself.

    Raises:
        InvalidInput: If it isn't an address of the web.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in ("http", "https") or not host or not host.isascii():
        raise InvalidInput("Pictures are shown from addresses that start with http or https.")
    name = f"[{host}]" if ":" in host else host
    if not all(letter.isalnum() or letter in "-._:[]" for letter in name):
        raise InvalidInput("The picture's address has no host name that can be.")
    source = f"{parts.scheme}://{name}" + (f":{port}" if port else "")
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Picture</title>'
        f'<style>{_STYLE}</style></head><body><img src="{escape(url)}" alt=""></body></html>'
    )
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src {source}; "
        "frame-ancestors 'self'; sandbox"
    )
    headers = {"Content-Security-Policy": policy}
    return Response(html, headers=headers, media_type="text/html")


close_paths(page)
