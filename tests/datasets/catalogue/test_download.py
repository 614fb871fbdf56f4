"""Downloads from a server of our own that cuts off, redirects and changes what it has."""

from __future__ import annotations

import fcntl
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpifl.datasets.catalogue.catalogue import Download
from mpifl.datasets.catalogue.download import DownloadError, fetch, here_bytes
from mpifl.errors import InputError
from tests.datasets.catalogue.server import CONTENT, OTHER, SHA256, Site, get, names, serving


@pytest.mark.parametrize(
    "known", [{}, {"sha256": SHA256}, {"bytes": 50_000}, {"sha256": SHA256, "bytes": 50_000}]
)
def test_a_file_comes_whole_and_under_its_own_name(
    site: Site, tmp_path: Path, known: dict[str, Any]
) -> None:
    assert get(site, tmp_path, **known) == "fetched"
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert names(tmp_path) == ["data.bin"]


def test_progress_is_told_to_the_end(site: Site, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    fetch(
        Download(url=f"{site.url}/data.bin", sha256=SHA256),
        tmp_path,
        lambda *call: told.append(call),
    )
    assert [call for call in told if call[1] == 50_000] == [
        ("fetching", 50_000, 50_000),
        ("checking", 50_000, 50_000),
    ]


def test_names_in_addresses_are_decoded(site: Site, tmp_path: Path) -> None:
    get(site, tmp_path, "/a/b/two%20words.tar.gz?token=x/y")
    assert names(tmp_path) == ["two words.tar.gz"]


@pytest.mark.parametrize("mark", [{}, {"tag": None, "modified": "Wed, 21 Oct 2015 07:28:00 GMT"}])
def test_what_was_cut_off_goes_on_in_the_same_call(
    site: Site, tmp_path: Path, mark: dict[str, Any]
) -> None:
    vars(site).update(mark, cuts=[20_000, 5_000])
    get(site, tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert site.from_bytes == [0, 20_000, 25_000]


def test_what_was_given_up_goes_on_in_the_next_call(site: Site, tmp_path: Path) -> None:
    site.cuts = [20_000, 0, 0]
    with pytest.raises(
        DownloadError,
        match=r"20,000 of 50,000 bytes \(20,000 bytes are in data.bin.part\); run the same command",
    ):
        get(site, tmp_path)
    assert names(tmp_path) == ["data.bin.part", "data.bin.part.tag"]
    assert here_bytes(Download(url=f"{site.url}/data.bin"), tmp_path) == 20_000
    site.cuts, site.asked = [], []
    get(site, tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert site.from_bytes == [20_000]
    assert names(tmp_path) == ["data.bin"]


def test_a_server_without_ranges_begins_anew(site: Site, tmp_path: Path) -> None:
    site.ranges, site.cuts = False, [20_000]
    get(site, tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_that_always_cuts_is_given_up(site: Site, tmp_path: Path) -> None:
    site.ranges, site.cuts = False, [20_000] * 100
    with pytest.raises(DownloadError, match="20,000 of 50,000"):
        get(site, tmp_path)
    assert len(site.asked) == 2


@pytest.mark.parametrize("known", [{}, {"bytes": 50_000}])
def test_two_versions_of_a_file_are_never_put_together(
    site: Site, tmp_path: Path, known: dict[str, Any]
) -> None:
    site.cuts = [20_000, 0, 0]
    with pytest.raises(DownloadError):
        get(site, tmp_path, **known)
    site.cuts, site.content, site.tag = [], OTHER, '"second"'
    get(site, tmp_path, **known)
    assert (tmp_path / "data.bin").read_bytes() == OTHER


@pytest.mark.parametrize("tag", [None, 'W/"weak"'])
def test_a_part_of_which_nobody_can_tell_the_version_is_not_used(
    site: Site, tmp_path: Path, tag: str | None
) -> None:
    site.tag, site.cuts = tag, [20_000]
    get(site, tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert site.from_bytes == [0, 0]


def test_with_a_checksum_such_a_part_is_used(site: Site, tmp_path: Path) -> None:
    site.tag, site.cuts = None, [20_000]
    get(site, tmp_path, sha256=SHA256)
    assert site.from_bytes == [0, 20_000]


def test_a_part_of_another_version_is_found_out_by_the_checksum_and_dropped(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "data.bin.part").write_bytes(OTHER[:20_000])
    with pytest.raises(DownloadError, match=f"instead of {SHA256}; not kept"):
        get(site, tmp_path, sha256=SHA256)
    assert names(tmp_path) == []
    get(site, tmp_path, sha256=SHA256)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_redirect_is_followed_and_the_rest_asked_for_there(site: Site, tmp_path: Path) -> None:
    site.redirects = {"/data.bin": "/elsewhere/blob-17"}
    site.cuts = [20_000]
    get(site, tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert site.from_bytes == [0, 20_000]


def test_a_server_that_sends_another_part_than_asked_for(site: Site, tmp_path: Path) -> None:
    site.shifted, site.cuts = True, [20_000]
    with pytest.raises(DownloadError, match="another part"):
        get(site, tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:20_000]


@pytest.mark.parametrize("known", [{}, {"sha256": SHA256}, {"bytes": 50_000}])
def test_a_part_that_was_complete_gets_its_name(
    site: Site, tmp_path: Path, known: dict[str, Any]
) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    (tmp_path / "data.bin.part.tag").write_text('"first"')
    get(site, tmp_path, **known)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert names(tmp_path) == ["data.bin"]


def test_a_part_that_is_longer_than_the_file_begins_anew(site: Site, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT + b"more")
    get(site, tmp_path, sha256=SHA256)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_pieces_without_a_length(site: Site, tmp_path: Path) -> None:
    site.chunked = True
    get(site, tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    site.cuts = [20_000, 0, 0]
    with pytest.raises(DownloadError, match="20,000 bytes are in"):
        get(site, tmp_path, "/again")
    assert "again" not in names(tmp_path)


def test_an_end_that_nobody_could_tell_is_refused_unless_something_is_known(
    site: Site, tmp_path: Path
) -> None:
    site.length = False
    with pytest.raises(DownloadError, match="does not say how long"):
        get(site, tmp_path)
    assert names(tmp_path) == []
    get(site, tmp_path, sha256=SHA256)
    site.cuts = [20_000]
    get(site, tmp_path, "/again", bytes=50_000)
    assert (tmp_path / "again").read_bytes() == CONTENT


def test_two_at_once_do_not_write_into_one_part(site: Site, tmp_path: Path) -> None:
    with open(tmp_path / "data.bin.part", "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match="another process"):
            get(site, tmp_path)
    assert get(site, tmp_path) == "fetched"


def test_what_is_there_is_checked_and_kept(site: Site, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT)
    assert get(site, tmp_path, sha256=SHA256, bytes=50_000) == "was there"
    assert get(site, tmp_path) == "was there"
    for known, message in (
        ({"sha256": "0" * 64}, "SHA-256 "),
        ({"bytes": 3}, "50,000 bytes instead of 3"),
    ):
        with pytest.raises(
            InputError, match=f"data.bin: is there already, with {message}.*move it away"
        ):
            get(site, tmp_path, **known)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert site.asked == []


def test_a_folder_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data.bin.part: No such file or directory"):
        get(site, tmp_path / "none")


@given(
    cuts=st.lists(st.integers(0, 50_000), max_size=6),
    ranges=st.booleans(),
    tag=st.sampled_from([None, '"first"', 'W/"weak"']),
    checksum=st.booleans(),
    chunked=st.booleans(),
)
def test_whatever_happens_the_name_stands_for_the_whole_file(
    cuts: list[int], ranges: bool, tag: str | None, checksum: bool, chunked: bool
) -> None:
    known = {"sha256": SHA256} if checksum else {}
    with (
        serving(Site(CONTENT, cuts=cuts, ranges=ranges, tag=tag, chunked=chunked)) as site,
        tempfile.TemporaryDirectory() as name,
    ):
        for _ in range(8):
            try:
                get(site, Path(name), **known)
            except DownloadError:
                assert "data.bin" not in names(Path(name))
        assert (Path(name) / "data.bin").read_bytes() == CONTENT
        assert names(Path(name)) == ["data.bin"]
