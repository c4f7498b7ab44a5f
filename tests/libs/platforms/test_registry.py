from libs.platforms.registry import build_platforms
from libs.vocabulary import PlatformName


async def test_every_platform_is_in_the_list_under_its_own_name() -> None:
    platforms = build_platforms(None)
    assert set(platforms) == set(PlatformName)
    assert all(platform.name is name for name, platform in platforms.items())


async def test_planning_needs_no_client() -> None:
    batching = build_platforms(None)[PlatformName.META].batching
    assert batching is not None
    assert batching.plan("get_object", {"object_id": "1", "fields": ["id"]}).params["fields"] == ["id"]
