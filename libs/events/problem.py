"""Problem documents (RFC 9457): the same words over HTTP and in `request.rejected`."""

from pydantic import BaseModel, ConfigDict

PROBLEM_TYPE_PREFIX = "urn:platformbus:problem:"


class ProblemItem(BaseModel):
    """One thing that is wrong."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    where: str
    """JSON pointer into the body, or `header:<name>`, `query:<name>`, `path:<name>`."""
    what: str
    how: str
    """How to mend it."""


class Problem(BaseModel):
    """Why something was refused. `type` is stable, to be matched by programs; `detail` is for people."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[ProblemItem, ...] = ()


class ProblemError(Exception):
    """Raised where something is refused; the edge turns it into an answer or a `request.rejected`."""

    def __init__(self, problem: Problem, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = headers or {}


def problem(slug: str, status: int, title: str, detail: str, *errors: ProblemItem) -> Problem:
    """Build a problem document; `slug` becomes the last part of its type."""
    return Problem(type=PROBLEM_TYPE_PREFIX + slug, title=title, status=status, detail=detail, errors=errors)
