"""How the page's files are served: small, cached, with nothing in them that a policy forbids."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pytest

import mythline
from tests.http.support import Client
from tests.page.support import WEB

START = '<script type="module" src="'


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory):
    with Client(mythline.create_app(tmp_path_factory.mktemp("page") / "store")) as client:
        yield client


def addresses(html: str) -> list[str]:
    return re.findall(r'(?:href|src)="([^"#][^"]*)"', html)


def test_the_page_is_at_the_root_with_a_strict_policy(client: Client):
    response = client.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    policy = response.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "http" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "frame-ancestors 'none'" in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"


def test_nothing_in_the_start_is_inline_or_of_another_host(client: Client):
    html = client.get("/").text
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    assert re.findall(r"<script[^>]*>([^<]*)</script>", html) == ["", ""]
    assert all(not re.match(r"\w+:|//", address) for address in addresses(html))


def test_every_file_is_named_by_the_start_and_kept_for_ever(client: Client):
    named = addresses(client.get("/").text)
    assert len(named) == len(set(named)) + 1  # main.js is told of at once, and run
    found = set[str]()
    for address in set(named):
        response = client.get(f"/{address}")
        assert response.status_code == 200, address
        assert "immutable" in response.headers["cache-control"]
        tag = response.headers["etag"]
        again = client.get(f"/{address}", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        found.add(address.split("/", 2)[2])
    files = {path.relative_to(WEB).as_posix() for path in WEB.rglob("*") if path.is_file()}
    assert found == files


def test_the_first_load_is_under_100_kb(client: Client):
    named = {"", *addresses(client.get("/").text)}
    total = 0
    for address in named:
        with client.stream("GET", f"/{address}", headers={"Accept-Encoding": "gzip"}) as response:
            total += sum(len(chunk) for chunk in response.iter_raw())
    assert 10_000 < total < 100_000


def test_the_start_is_looked_at_each_time_but_not_sent_again(client: Client):
    response = client.get("/")
    assert response.headers["cache-control"] == "no-cache"
    again = client.get("/", headers={"If-None-Match": response.headers["etag"]})
    assert again.status_code == 304
    assert "content-security-policy" in again.headers


@pytest.mark.parametrize(
    "path",
    ["main.js", "../index.html", "%2e%2e/index.html", "lib", "", "none.js"],
)
def test_there_is_nothing_else(client: Client, path: str):
    version = addresses(client.get("/").text)[0].split("/")[1]
    if path == "main.js":
        version = "0" * len(version)
    assert client.get(f"/assets/{version}/{path}").status_code == 404


def test_other_methods_are_refused(client: Client):
    assert client.post("/").status_code == 405
    assert client.head("/").status_code == 200


# Its files


def modules() -> list[Path]:
    return sorted(path for path in WEB.rglob("*.js") if path.name != "theme.js")


@pytest.mark.parametrize("module", modules(), ids=lambda path: path.relative_to(WEB).as_posix())
def test_a_module_is_small_reached_and_asks_no_other_host(module: Path):
    text = module.read_text("utf-8")
    assert len(text.splitlines()) <= 450
    for host in re.findall(r"https?://[^\s\"'`)]+", text):
        assert host.startswith("http://www.w3.org/")  # the names of SVG
    for word in (
        "eval(",
        "insertAdjacentHTML",
        "outerHTML",
        "document.write",
        ".srcdoc",
        "onclick=",
    ):
        assert word not in text, word
    if module.name != "html.js":
        assert "innerHTML" not in text
    for name in re.findall(r'(?:from|import) "(\.[^"]+)"', text):
        assert (module.parent / name).resolve().is_file(), name


def test_every_module_is_reached_from_the_first():
    seen, wait = set[Path](), [WEB / "main.js"]
    while wait:
        module = wait.pop()
        if module in seen:
            continue
        seen.add(module)
        names = re.findall(r'from "(\.[^"]+)"', module.read_text("utf-8"))
        wait.extend((module.parent / name).resolve() for name in names)
    only_types = {WEB / "lib/types.js"}
    assert set(modules()) - seen <= only_types


def test_stylesheets_load_nothing():
    for sheet in WEB.rglob("*.css"):
        text = sheet.read_text("utf-8")
        assert "url(" not in text
        assert "@import" not in text


def test_the_files_are_in_the_package():
    assert PurePosixPath(WEB.as_posix()).parent.name == "web"
    assert (WEB.parent / "index.html").is_file()


# Pictures of other hosts


def test_a_picture_of_another_host_is_framed_and_can_do_nothing_else(client: Client):
    url = 'https://pictures.example:8443/a.png?b="><script>alert(1)</script>'
    response = client.get("/picture", params={"url": url})
    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "img-src https://pictures.example:8443;" in policy
    assert "frame-ancestors 'self'" in policy
    assert policy.endswith("sandbox")
    assert "<script" not in response.text


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:image/svg+xml,x",
        "//evil.example/x",
        "file:///etc/passwd",
        "https://",
        "https://a.example; script-src *",
        "https://*/x",
        "https://[/x",
        "https://a.example:port/x",
        "",
    ],
)
def test_a_picture_has_an_address_of_the_web(client: Client, url: str):
    assert client.get("/picture", params={"url": url}).status_code == 422
