"""`tunnelc files DIR`: what is in a directory, and nothing else."""
import email.utils
import json
import os
import re
import time
import urllib.parse

import pattern
import pytest

from programs import Site, run, wait_until
from wire import Client, ask

SIZE = 300_000


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    top = tmp_path_factory.mktemp("files")
    (top / "secret.txt").write_text("not for the public")
    www = top / "www"
    for name in ("sub/deep", "empty", "indexed", ".hidden", "odd"):
        (www / name).mkdir(parents=True)
    (www / "hello.txt").write_text("hello")
    (www / "page.HTML").write_text("<p>")
    (www / "none").write_bytes(b"")
    (www / "big.bin").write_bytes(b"".join(pattern.pieces(SIZE)))
    (www / "indexed/index.html").write_text("the index")
    (www / "indexed/data.json").write_text("{}")
    (www / "sub/deep/file.js").write_text("1")
    (www / ".hidden/file").write_text("hidden")
    (www / ".env").write_text("hidden")
    (www / "sub/.git").write_text("hidden")
    (www / "odd/a b&c<d>\"e'é%.txt").write_text("odd")
    (www / "odd/x:y").write_text("colon")
    (www / "inside.txt").symlink_to("hello.txt")
    (www / "outside.txt").symlink_to("../secret.txt")
    (www / "absolute.txt").symlink_to(top / "secret.txt")
    (www / "sub/up").symlink_to("../..")
    (www / "loop").symlink_to("loop")
    os.mkfifo(www / "pipe")
    return www


@pytest.fixture(scope="module")
def served(tmp_path_factory, directory):
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        site.tunneld()
        site.proxyentry()
        site.client = site.tunnelc(directory, command="files", session="files")
        site.session = "files"
        yield site
    finally:
        site.close()


def get(served, path, *lines, method="GET"):
    with Client(served.public) as client:
        client.request(method, served.path(path), *lines)
        return client.response(method)


# ---- what there is ----

def test_file(served):
    response = get(served, "/hello.txt")
    assert (response.status, response.body) == (200, b"hello")
    fields = response.fields
    assert fields.get("content-type") == "text/plain; charset=utf-8" and fields.get("content-length") == "5"
    assert fields.get("accept-ranges") == "bytes" and re.fullmatch(r'"[0-9a-f.\-]+"', fields.get("etag"))
    assert email.utils.parsedate_to_datetime(fields.get("last-modified"))
    assert email.utils.parsedate_to_datetime(fields.get("date"))
    assert fields.get("x-content-type-options") == "nosniff"


def test_big_file_is_exact(served):
    response = get(served, "/big.bin")
    assert response.whole and response.body == b"".join(pattern.pieces(SIZE))
    assert response.fields.get("content-type") == "application/octet-stream"


def test_empty_file(served):
    response = get(served, "/none")
    assert (response.status, response.body, response.fields.get("content-length")) == (200, b"", "0")


@pytest.mark.parametrize("path, kind", [("/page.HTML", "text/html; charset=utf-8"), ("/sub/deep/file.js", "text/javascript; charset=utf-8"),
                                        ("/indexed/data.json", "application/json")])
def test_types(served, path, kind):
    assert get(served, path).fields.get("content-type") == kind


def test_head(served):
    response = get(served, "/big.bin", method="HEAD")
    assert (response.status, response.body, response.fields.get("content-length")) == (200, b"", str(SIZE))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_405(served, method):
    response = ask(served.public, method, served.path("/hello.txt"), body=b"x")
    assert response.status == 405 and response.fields.get("allow") == "GET, HEAD"


def test_content_of_a_get_has_no_meaning(served):
    assert ask(served.public, "GET", served.path("/hello.txt"), body=bytes(500_000)).body == b"hello"


def test_query_is_not_part_of_the_name(served):
    assert get(served, "/hello.txt?x=../y").body == b"hello"


def test_escapes_are_decoded(served):
    assert get(served, "/%68ello%2Etxt").body == b"hello"
    assert get(served, "/odd/" + urllib.parse.quote("a b&c<d>\"e'é%.txt")).body == b"odd"
    assert get(served, "//sub///deep/file.js").body == b"1"


# ---- directories ----

def test_index(served):
    response = get(served, "/indexed/")
    assert response.body == b"the index" and response.fields.get("content-type") == "text/html; charset=utf-8"


def test_directory_without_a_slash_is_redirected_below_any_prefix(served):
    for path, location in (("/indexed", "./indexed/"), ("/sub/deep?a=b", "./deep/?a=b")):
        response = get(served, path)
        assert (response.status, response.fields.get("location")) == (301, location)
        public = urllib.parse.urljoin("http://h" + served.path(path), location)
        assert urllib.parse.urlsplit(public).path == served.path(path.split("?")[0]) + "/"


def test_listing(served):
    response = get(served, "/")
    assert response.status == 200 and response.fields.get("content-type") == "text/html; charset=utf-8"
    names = re.findall(r'<a href="([^"]*)">', response.body.decode())
    assert names == sorted(names)
    assert {"./hello.txt", "./sub/", "./empty/", "./big.bin", "./inside.txt"} <= set(names)
    assert not {"./outside.txt", "./absolute.txt", "./loop"} & set(names)
    assert not [name for name in names if "/." in name[1:] or "pipe" in name or name == "../"]


def test_listing_of_odd_names(served):
    response = get(served, "/odd/")
    page = response.body.decode()
    assert "a b&#38;c&#60;d&#62;&#34;e&#39;é%.txt" in page and "<d>" not in page
    for name in re.findall(r'<a href="([^"]*)">', page):
        target = urllib.parse.urljoin("http://h" + served.path("/odd/"), name)
        if name != "../":
            assert ask(served.public, "GET", target[len("http://h"):]).status == 200
    assert ask(served.public, "GET", served.path("/odd/x:y")).body == b"colon"


def test_listing_of_nothing_and_head(served):
    assert get(served, "/empty/").status == 200
    response = get(served, "/", method="HEAD")
    assert response.status == 200 and response.body == b"" and int(response.fields.get("content-length")) > 100


# ---- what there is not ----

@pytest.mark.parametrize("path", [
    "/missing", "/../secret.txt", "/sub/../../secret.txt", "/%2e%2e/secret.txt", "/%2E%2E%2Fsecret.txt", "/..%2fsecret.txt",
    "/.%2e/secret.txt", "/sub/%2e%2e/hello.txt", "/./hello.txt", "/outside.txt", "/absolute.txt", "/sub/up/secret.txt",
    "/sub/up/", "/loop", "/.env", "/%2eenv", "/.hidden/file", "/.hidden/", "/sub/.git", "/hello.txt/", "/hello.txt/x",
    "/hello.txt%00", "/hello%2", "/%zz", "/pipe", "/sub%2fdeep/file.js", "/" + "a" * 300, "/" + "a/" * 2100])
def test_nothing_is_there(served, path):
    response = ask(served.public, "GET", served.path(path))
    assert response.status == 404, response
    assert b"not for the public" not in response.body and b"hidden" not in response.body


def test_links_within_the_directory_are_followed(served):
    assert get(served, "/inside.txt").body == b"hello"


def test_file_that_may_not_be_read_is_403(served, directory):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (directory / "locked").write_text("x")
    (directory / "locked").chmod(0)
    assert get(served, "/locked").status == 403


# ---- conditions and ranges ----

def test_unchanged_is_304(served):
    first = get(served, "/hello.txt").fields
    for lines in ([f"If-None-Match: {first.get('etag')}"], [f'If-None-Match: "other", W/{first.get("etag")}'],
                  ["If-None-Match: *"], [f"If-Modified-Since: {first.get('last-modified')}"]):
        response = get(served, "/hello.txt", *lines)
        assert (response.status, response.body) == (304, b""), lines
        assert response.fields.get("etag") == first.get("etag") and "content-length" not in response.fields
    for lines in (['If-None-Match: "other"'], ["If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"],
                  ["If-Modified-Since: nonsense"], ['If-None-Match: "other"', f"If-Modified-Since: {first.get('last-modified')}"]):
        assert get(served, "/hello.txt", *lines).status == 200, lines


def test_conditions_that_do_not_hold_are_412(served):
    first = get(served, "/hello.txt").fields
    for lines in (['If-Match: "other"'], ["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], [f"If-Match: W/{first.get('etag')}"]):
        assert get(served, "/hello.txt", *lines).status == 412
    assert get(served, "/hello.txt", f"If-Match: {first.get('etag')}").status == 200


@pytest.mark.parametrize("asked, first, last", [
    ("0-0", 0, 0), ("0-99", 0, 99), ("100-", 100, SIZE - 1), ("-1", SIZE - 1, SIZE - 1), ("-999999999", 0, SIZE - 1),
    (f"{SIZE - 1}-{SIZE + 5}", SIZE - 1, SIZE - 1), ("70000-199999", 70000, 199999)])
def test_range(served, asked, first, last):
    response = get(served, "/big.bin", f"Range: bytes={asked}")
    assert response.status == 206
    assert response.fields.get("content-range") == f"bytes {first}-{last}/{SIZE}"
    assert response.body == b"".join(pattern.pieces(SIZE))[first:last + 1]


@pytest.mark.parametrize("asked", [f"{SIZE}-", f"{SIZE}-{SIZE}", "-0"])
def test_range_of_nothing_is_416(served, asked):
    response = get(served, "/big.bin", f"Range: bytes={asked}")
    assert response.status == 416 and response.fields.get("content-range") == f"bytes */{SIZE}"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=5-1", "bytes=a-b", "bytes=-", "lines=1-2", "bytes=1-2-3",
                                   "bytes=99999999999999999999-"])
def test_what_is_no_single_range_gets_the_whole(served, asked):
    response = get(served, "/big.bin", f"Range: {asked}")
    assert response.status == 200 and len(response.body) == SIZE


def test_if_range(served):
    first = get(served, "/big.bin").fields
    for condition, status in ((first.get("etag"), 206), ('"other"', 200), ("W/" + first.get("etag"), 200),
                              (first.get("last-modified"), 206), ("Sun, 06 Nov 1994 08:49:37 GMT", 200)):
        assert get(served, "/big.bin", "Range: bytes=0-9", f"If-Range: {condition}").status == status


def test_changed_file_has_another_tag(served, directory):
    path = directory / "changing.txt"
    path.write_text("one")
    first = get(served, "/changing.txt").fields.get("etag")
    path.write_text("two")
    response = get(served, "/changing.txt", f"If-None-Match: {first}")
    assert response.status == 200 and response.body == b"two"


# ---- streaming ----

def test_file_that_becomes_shorter_is_visibly_cut(served, directory):
    path = directory / "shrinking.bin"
    path.write_bytes(bytes(20_000_000))
    with Client(served.public, receive_buffer=4096) as client:
        client.request("GET", served.path("/shrinking.bin"))
        response = client.final_head()
        pieces = client.pieces(response)
        next(pieces)
        time.sleep(0.3)
        os.truncate(path, 1000)
        size = 0
        with pytest.raises(Exception):
            for piece in pieces:
                size += len(piece)
        assert size < 20_000_000


def test_slow_reader_holds_no_memory(served, directory):
    """A reader that stops: what is read of the file ahead of it is bounded."""
    with open(directory / "sparse.bin", "wb") as file:
        file.truncate(1 << 30)
    with Client(served.public, receive_buffer=4096) as client:
        client.request("GET", served.path("/sparse.bin"))
        response = client.final_head()
        assert response.fields.get("content-length") == str(1 << 30)
        before = served.client.rss_peak()
        time.sleep(0.5)
        assert served.client.rss_peak() - before < 32 << 20
    (directory / "sparse.bin").unlink()


def test_many_at_once(served):
    clients = [Client(served.public) for _ in range(30)]
    for client in clients:
        client.request("GET", served.path("/big.bin"))
    for client in clients:
        assert client.response().body == b"".join(pattern.pieces(SIZE))
        client.close()


def test_reader_that_goes_away_lets_the_file_go(served, directory):
    def open_files():
        links = [f"/proc/{served.client.pid}/fd/{fd}" for fd in os.listdir(f"/proc/{served.client.pid}/fd")]
        return [1 for link in links if os.path.exists(link) and os.readlink(link).endswith("left.bin")]

    with open(directory / "left.bin", "wb") as file:
        file.truncate(1 << 28)
    for _ in range(5):
        with Client(served.public, receive_buffer=4096) as client:
            client.request("GET", served.path("/left.bin"))
            client.final_head()
    wait_until(lambda: not open_files(), "the files to be closed")
    (directory / "left.bin").unlink()


# ---- as a route ----

def test_files_as_a_route(served, directory, shared_origin):
    client = served.tunnelc(shared_origin.target, "--route", f"/static=files:{directory}")
    prefix = f"/session/{client.session}"
    assert ask(served.public, "GET", prefix + "/static/hello.txt").body == b"hello"
    assert ask(served.public, "GET", prefix + "/static/../secret.txt").status == 404
    response = ask(served.public, "GET", prefix + "/static")
    assert (response.status, response.fields.get("location")) == (301, "./static/")
    assert json.loads(ask(served.public, "GET", prefix + "/inspect").body)["target"] == "/inspect"


def test_directory_that_is_not_there_ends_the_start(served):
    for directory in ("/no/such/directory", __file__):
        status, _, said = run("tunnelc", "files", directory, *served.common("--server", f"https://{served.control}"))
        assert status == 1 and directory in said
