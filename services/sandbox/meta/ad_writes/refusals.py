"""What Meta says when an ad object cannot be written as asked.

Code 100 with a subcode, words for the person and the blamed fields (O, marketing-api/error-reference; shape S). Where a
subcode is given its mark is beside it; statuses are 400 as in every quoted answer (T).
"""

from services.sandbox.meta.errors import GraphError, bad_parameter


def invalid(
    title: str, text: str, *blamed: str, subcode: int | None = None, path: tuple[str, ...] | None = None
) -> GraphError:
    """`Invalid parameter` with what is to blame; `path`: one field inside another."""
    specs = [list(path)] if path else [[name] for name in blamed]
    data = {"blame_field_specs": specs} if specs else None
    return GraphError(
        400, 100, "Invalid parameter", subcode=subcode, transient=False, title=title, text=text, data=data
    )


def old_objective(objective: str) -> GraphError:
    """Words and order T (three projects quote them)."""
    usable = ("LEADS", "SALES", "ENGAGEMENT", "AWARENESS", "TRAFFIC", "APP_PROMOTION")
    listed = ", ".join(f"OUTCOME_{name}" for name in usable)
    return bad_parameter(f"Objective {objective} is invalid. Use one of: {listed}.")


def budget_too_low(name: str, least: str) -> GraphError:
    """1885272 and its words T."""
    text = f"Your budget must be at least {least} or your ads may not be delivered. Please increase your budget."
    return invalid("Budget is too low", text, name, subcode=1885272)


def two_budgets() -> GraphError:
    """Words M."""
    text = "You can only set either a daily budget or a lifetime budget."
    return invalid("Only one budget allowed", text, "daily_budget", "lifetime_budget")


def budget_on_both_levels(name: str) -> GraphError:
    """1885621 (T: pull requests 97 of byadsco/meta-ads-mcp, 71 of pipeboard-co/meta-ads-mcp)."""
    text = "You can only set an ad set budget or a campaign budget. Please choose only one budget."
    return invalid("Can't set both budgets", text, name, subcode=1885621)


def no_budget() -> GraphError:
    """1487061 (T)."""
    text = "Set a daily or a lifetime budget for the ad set, or a budget for its campaign."
    return invalid("Missing budget", text, "daily_budget", "lifetime_budget", subcode=1487061)


def no_end(name: str) -> GraphError:
    """That a lifetime budget needs an end is O, the words M."""
    return invalid("End time required", "A lifetime budget needs an end time.", name)


def wrong_times(name: str) -> GraphError:
    return invalid("Invalid dates", "The end has to lie after the start and in the future.", name)


def bid_required() -> GraphError:
    """1815857 (T)."""
    text = "A bid amount is required for the bid strategy that you have chosen."
    return invalid("Bid amount required", text, "bid_amount", subcode=1815857)


def goal_not_available() -> GraphError:
    """2490408 (T)."""
    text = "You can't use the selected performance goal with your campaign objective."
    return invalid("Performance goal isn't available", text, "optimization_goal", subcode=2490408)


def event_not_available(goal: str) -> GraphError:
    """That a goal allows few billing events is O, the words M."""
    text = f"You can't be charged for this event with the performance goal {goal}."
    return invalid("Billing event isn't available", text, "billing_event")


def nothing_promoted(name: str) -> GraphError:
    """That these goals need one is O, the words M."""
    text = f"The performance goal needs a promoted object with {name}."
    return invalid("Promoted object required", text, "promoted_object", path=("promoted_object", name))


def no_place() -> GraphError:
    """That a target needs a place is O, the words M."""
    text = "Please select at least one location for the audience."
    return invalid("Missing location", text, path=("targeting", "geo_locations"))


def wrong_ages() -> GraphError:
    """13 to 65 (O); the words M."""
    return invalid("Invalid age range", "Ages go from 13 to 65.", path=("targeting", "age_min"))


def unknown_parent(name: str, node_id: str) -> GraphError:
    return invalid("Object not found", f"The object {node_id[:60]} does not exist in this ad account.", name)


def parent_is_gone(name: str) -> GraphError:
    return invalid("Object can't be used", "You can't add to an object that was deleted or archived.", name)


def is_deleted(kind: str) -> GraphError:
    """1487056 "Ad set deleted" (O); that it holds for every kind is M."""
    return invalid("Object was deleted", f"You can't change a deleted {kind}.", "status", subcode=1487056)


def is_archived(kind: str) -> GraphError:
    """1487862 (S: error codes of the first Python SDK); that only name and deletion are left is O."""
    text = f"An archived {kind} can only be renamed or deleted."
    return invalid("Object was archived", text, "status", subcode=1487862)


def sharing_with_campaign_budget() -> GraphError:
    """4834002 (O, bidding/guides/adset-budget-sharing)."""
    text = "You can't use ad set budget sharing with a campaign budget."
    return invalid("Budget sharing", text, "is_adset_budget_sharing_enabled", subcode=4834002)


def sharing_without_strategy() -> GraphError:
    """4834005 (O, bidding/guides/adset-budget-sharing)."""
    text = "You can't enable ad set budget sharing without a bid strategy."
    return invalid("Budget sharing", text, "bid_strategy", subcode=4834005)


def nothing_to_show() -> GraphError:
    """Words M."""
    text = "A creative needs an object_story_spec, an object_story_id, an asset_feed_spec or an image."
    return invalid("Creative is incomplete", text, "object_story_spec")


def ambiguous_story() -> GraphError:
    """1487929 (T)."""
    text = "You may only specify one object to promote: object_story_spec or object_story_id."
    return invalid("Ambiguous promoted object fields", text, "object_story_spec", "object_story_id", subcode=1487929)


def too_many_copies(most: int) -> GraphError:
    """1885194 T; that more is only for asynchronous requests is O."""
    text = f"A deep copy of more than {most} objects has to be made by an asynchronous request."
    return invalid("Too many objects to copy", text, "deep_copy", subcode=1885194)
