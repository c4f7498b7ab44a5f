"""docs/platforms.md says what the code says."""

from deploy.platforms_page import PAGE, page
from libs.platforms.registry import build_platforms
from services.sandbox.coverage import platforms, read_coverage


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run `python -m deploy.platforms_page`"


def test_every_platform_says_what_the_sandbox_covers_of_it() -> None:
    assert set(platforms()) == {str(name) for name in build_platforms(None)}


def test_every_operation_and_every_unverified_one_is_shown() -> None:
    text = page()
    for name in platforms():
        for ability in read_coverage(name):
            summary = next(line for line in text.splitlines() if line.startswith(f"| {ability.title} |"))
            for row in ability.operations:
                assert f"| `{row.name}` | `{row.method} /{row.path}` |" in text
                assert (row.mark == "M") == (f"`{row.name}`" in summary)
