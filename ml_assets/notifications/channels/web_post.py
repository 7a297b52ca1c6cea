"""One JSON object posted to a URL."""

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib import request
from urllib.error import HTTPError
from urllib.parse import urlsplit

from ml_assets.notifications.errors import NotSent, reason_of

# Server errors and these two pass by themselves: the receiver was slow, or asked too often.
_PASSING = (408, 429)


def is_web_address(url: str) -> bool:
    """Return whether this is an http or https URL with a host, no user name, and only characters that may be sent."""
    # urlsplit drops line breaks silently and says the rest only in errors that repeat the URL.
    if not (url.isascii() and url.isprintable()) or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
        )
    except ValueError:
        return False


def declared_url(variables: Mapping[str, str], name: str) -> str | None:
    """Return the address that a variable holds; None where it is empty.

    Raises:
        ValueError: it is none that can be posted to.
    """
    url = variables[name]
    if url and not is_web_address(url):
        raise ValueError(f"{name} is malformed: write an http or https URL without user name and password")
    return url or None


def post_json(url: str, content: dict[str, Any], timeout_s: float) -> None:
    """Send `content` by POST; a redirect counts as a refusal, since it would carry the notice elsewhere or lose it.

    `timeout_s` bounds each wait for the receiver, in seconds.

    Raises:
        NotSent: the receiver cannot be reached, is too slow, or answers with anything but success.
    """
    headers = {"Content-Type": "application/json", "User-Agent": "ml_assets"}
    message = request.Request(url, json.dumps(content).encode(), headers, method="POST")
    place = f"{message.type}://{urlsplit(url).hostname}"
    try:
        _opener().open(message, timeout=timeout_s).close()
    except HTTPError as error:
        with error:
            again = error.code >= 500 or error.code in _PASSING
            raise NotSent(place, f"answered HTTP {error.code}", again) from None
    except (OSError, HTTPException, ValueError) as error:
        raise NotSent(place, reason_of(error, timeout_s)) from None


def _opener() -> request.OpenerDirector:
    """Make an opener that takes http and https only and follows no redirect, unlike urllib's own."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener
