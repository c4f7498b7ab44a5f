"""Addresses of media, judged without fetching."""

import pytest

from services.sandbox.meta.publishing.media import MAX_URL_CHARS, is_reachable, other_format


@pytest.mark.parametrize(
    "url", ["https://example.com/a.jpg", "http://cdn.example.com:8080/x?y=1#z", "https://1.2.3.4/a"]
)
def test_a_public_address_is_reachable(url: str) -> None:
    assert is_reachable(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/a.jpg",
        "ftp://example.com/a.jpg",
        "https://localhost/a.jpg",
        "https://nowhere.invalid/a.jpg",
        "https://exa mple.com/a.jpg",
        "https://[half/a.jpg",
        "https://example.com/" + "a" * MAX_URL_CHARS,
    ],
)
def test_what_cannot_be_public_is_not(url: str) -> None:
    assert not is_reachable(url)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://example.com/a.jpg", None),
        ("https://example.com/a.PNG", "PNG"),
        ("https://example.com/a.gif?x=.jpg", "GIF"),
        ("https://example.com/image", None),
        ("https://example.gif/image", None),
    ],
)
def test_a_format_is_told_by_the_ending_of_the_path_alone(url: str, found: str | None) -> None:
    assert other_format(url) == found
