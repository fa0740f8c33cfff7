"""Lists on the wire: `{"value": […], "nextLink": …}`."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from fastapi import Request

from vmkeep.arm.errors import BadFilter
from vmkeep.arm.members import Json

PAGE_SIZE = 200
T = TypeVar("T")


def page(request: Request, items: Sequence[T], show: Callable[[T], Json], *, size: int = PAGE_SIZE) -> Json:
    """Return the page that `$skipToken` asks for; `nextLink` stands only when there is more."""
    token = next((value for key, value in request.query_params.items() if key.lower() == "$skiptoken"), "0")
    if not token.isdecimal():
        raise BadFilter(filter=f"$skipToken={token}", why="it is not one of ours")
    start = int(token)
    answer: Json = {"value": [show(item) for item in items[start : start + size]]}
    if start + size < len(items):
        query = {key: value for key, value in request.query_params.items() if key.lower() != "$skiptoken"}
        answer["nextLink"] = str(
            request.url.replace_query_params(**query, **{"$skipToken": str(start + size)})
        )
    return answer
