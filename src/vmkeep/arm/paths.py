"""ARM compares paths without regard to case and lets clients double slashes; routes need one spelling."""

from collections.abc import Iterable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send


def literals_of(templates: Iterable[str]) -> dict[str, str]:
    """Return lower case → right spelling of each fixed segment of the route templates."""
    segments = {segment for template in templates for segment in template.split("/")}
    return {segment.lower(): segment for segment in segments if segment and "{" not in segment}


def canonical_path(path: str, literals: Mapping[str, str]) -> str:
    """Return `path` with doubled slashes collapsed and its type segments spelled as the routes spell them.

    ARM paths alternate types and names, anew after `providers/{namespace}`. Names keep their spelling.
    """
    segments = [segment for segment in path.split("/") if segment]
    spelled: list[str] = []
    is_type = True
    for position, segment in enumerate(segments):
        namespace = position > 0 and spelled[-1] == "providers"
        if is_type or namespace:
            spelled.append(literals.get(segment.lower(), segment))
            is_type = namespace
        else:
            spelled.append(segment)
            is_type = True
    return "/" + "/".join(spelled)


class PathNormaliser:
    """ASGI middleware that gives routes one spelling of each path."""

    def __init__(self, app: ASGIApp, literals: Mapping[str, str]) -> None:
        self._app = app
        self._literals = literals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            path = canonical_path(scope["path"], self._literals)
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)
