"""What an answer to a write proves, and what it does not."""

import pytest

from libs.platforms.errors import OutcomeUnknown, PlatformError
from libs.platforms.meta.failures import may_have_happened, platform_error
from libs.platforms.meta.wire import GraphError


def refusal(code: int, subcode: int | None, status: int) -> PlatformError:
    error = GraphError(message="no", code=code, error_subcode=subcode)
    return platform_error("publish", status, error, wait_seconds=60)


@pytest.mark.parametrize(
    ("code", "subcode", "status"),
    [(1, None, 500), (2, None, 503), (960, None, 500), (104, None, 400), (-1, 2207001, 400), (4, 2207051, 403)],
)
def test_a_write_that_may_have_happened_is_unknown(code: int, subcode: int | None, status: int) -> None:
    unknown = may_have_happened(refusal(code, subcode, status))
    assert isinstance(unknown, OutcomeUnknown)
    assert unknown.platform_code == (str(code) if subcode is None else f"{code}/{subcode}")


@pytest.mark.parametrize(
    ("code", "subcode", "status"),
    [
        *((4, None, 403), (17, None, 400), (80004, 2446079, 400), (9, 2207042, 400), (613, 5044001, 400)),
        *((100, None, 400), (190, 463, 400), (200, None, 403), (368, 1404082, 400), (506, None, 400)),
        *((-2, 2207003, 400), (-1, 2207032, 400), (24, 2207008, 400), (9004, 2207052, 400), (9007, 2207027, 400)),
    ],
)
def test_a_write_that_meta_refuses_in_its_own_words_did_nothing(code: int, subcode: int | None, status: int) -> None:
    refused = refusal(code, subcode, status)
    assert may_have_happened(refused) is refused


@pytest.mark.parametrize("status", [200, 302, 500, 502])
def test_an_answer_to_a_write_without_words_of_metas_proves_nothing(status: int) -> None:
    silent = platform_error("publish", status, None, wait_seconds=60)
    assert isinstance(may_have_happened(silent), OutcomeUnknown)


def test_a_story_with_few_viewers_has_no_data_and_needs_no_permission() -> None:
    error = GraphError(message="(#10) Not enough viewers for the media to show insights", code=10)
    assert platform_error("look", 400, error, wait_seconds=60).code == "rejected"
