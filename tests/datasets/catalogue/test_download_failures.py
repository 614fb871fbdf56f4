"""Downloads that fail: nobody answers, a server lies or falls silent, the disk is full, the process is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mpifl.datasets.catalogue.catalogue import Download
from mpifl.datasets.catalogue.download import DownloadError, fetch
from tests.datasets.catalogue.server import (
    CONTENT,
    SHA256,
    Site,
    get,
    make_certificate,
    names,
    serving,
)

ROOT = Path(__file__).parents[3]


def test_a_wrong_checksum_leaves_nothing(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=f"SHA-256 {SHA256} instead of {'0' * 64}"):
        get(site, tmp_path, sha256="0" * 64)
    assert names(tmp_path) == []


def test_a_wrong_size_is_refused_before_it_comes(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="offers 50,000 bytes, the catalogue has 50,001"):
        get(site, tmp_path, bytes=50_001)
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_is_not_there_is_said_at_once(site: Site, tmp_path: Path, status: int) -> None:
    site.statuses = [status] * 9
    with pytest.raises(DownloadError, match=f"/data.bin: the server answers {status}"):
        get(site, tmp_path)
    assert len(site.asked) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_pass_is_tried_again(site: Site, tmp_path: Path, status: int) -> None:
    site.statuses = [status]
    assert get(site, tmp_path) == "fetched"
    site.statuses = [status] * 9
    with pytest.raises(DownloadError, match=f"answers {status}"):
        get(site, tmp_path, "/again")


def test_a_redirect_in_a_circle_ends(site: Site, tmp_path: Path) -> None:
    site.redirects = {"/data.bin": "/there", "/there": "/data.bin"}
    with pytest.raises(DownloadError, match=r"30\d"):
        get(site, tmp_path)
    assert names(tmp_path) == []


@pytest.fixture
def certificate(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate for this host that this process trusts."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    make_certificate(path, "IP:127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.setattr("urllib.request._opener", None)  # from 3.12 on it has read them already
    return path


def test_encrypted_is_not_led_to_open_where_nothing_could_tell(
    certificate: Path, site: Site, tmp_path: Path
) -> None:
    with serving(Site(CONTENT, certificate=certificate), tls=True) as safe:
        assert get(safe, tmp_path, "/safe") == "fetched"
        safe.redirects = {"/data.bin": f"{site.url}/data.bin"}
        with pytest.raises(DownloadError, match="without encryption"):
            get(safe, tmp_path)
        assert names(tmp_path) == ["safe"]
        assert get(safe, tmp_path, sha256=SHA256) == "fetched"


def test_a_server_that_nobody_vouches_for(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with (
        serving(Site(CONTENT, certificate=certificate), tls=True) as site,
        pytest.raises(DownloadError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        get(site, tmp_path)


def test_nobody_who_answers(tmp_path: Path) -> None:
    with serving(Site(CONTENT)) as gone:
        pass
    with pytest.raises(DownloadError, match="Connection refused"):
        get(gone, tmp_path)
    assert names(tmp_path) == []


def test_no_such_host(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"http://nowhere\.invalid/x"):
        get(Site(url="http://nowhere.invalid"), tmp_path, "/x")


def test_a_server_that_falls_silent(site: Site, tmp_path: Path) -> None:
    site.announced = 60_000  # it keeps the connection open and sends no more
    with pytest.raises(DownloadError, match="timed out"):
        fetch(
            Download(url=f"{site.url}/x"),
            tmp_path,
            lambda *_: None,
            pauses_seconds=(),
            timeout_seconds=0.3,
        )
    assert names(tmp_path) == ["x.part", "x.part.tag"]


def test_what_does_not_fit_is_refused_before_it_comes(site: Site, tmp_path: Path) -> None:
    site.announced = 10**18
    with pytest.raises(
        DownloadError, match=r"1,000,000,000,000,000,000 bytes are still to come, .* are free"
    ):
        get(site, tmp_path)
    assert names(tmp_path) == []


def script(site: Site, folder: Path, before: str = "") -> list[str]:
    lines = [
        before,
        "from pathlib import Path",
        "from mpifl.datasets.catalogue.catalogue import Download",
        "from mpifl.datasets.catalogue.download import DownloadError, fetch",
        f"file = Download(url='{site.url}/data.bin', sha256='{SHA256}')",
        f"try: fetch(file, Path('{folder}'), lambda *_: None, pauses_seconds=())",
        "except DownloadError as error: raise SystemExit(str(error))",
    ]
    return [sys.executable, "-c", "\n".join(lines)]


def test_a_disk_that_takes_no_more_keeps_what_came(site: Site, tmp_path: Path) -> None:
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))"
    done = subprocess.run(
        script(site, tmp_path, full),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"{tmp_path}/data.bin.part: File too large; make room")
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:30_000]
    get(site, tmp_path, sha256=SHA256)
    assert site.from_bytes == [0, 30_000]
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_killed_process_leaves_a_part_that_the_next_one_completes(
    site: Site, tmp_path: Path
) -> None:
    site.stops = 5_000
    process = subprocess.Popen(script(site, tmp_path), cwd=ROOT)
    part = tmp_path / "data.bin.part"
    while not (part.exists() and part.stat().st_size > 0):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=300)
    kept = part.stat().st_size
    assert "data.bin" not in names(tmp_path)
    site.stops = None
    site.goes_on.set()
    get(site, tmp_path, sha256=SHA256)
    assert site.from_bytes == [0, kept]
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
