"""What `ml-assets online` says of facts that it pushes behind the builds."""

import json
from datetime import UTC, datetime

import pytest

from ml_assets.commands.serving.online_job import BuiltView, as_json, pushed_line, read_moment

BUILT = [BuiltView("queue", 3, 21, "2013-10-01T07:00:00+00:00", 0.2, agrees=True)]


def test_what_was_pushed_is_said_by_view_where_some_was_to_be():
    assert json.loads(as_json(BUILT)).keys() == {"views"}
    assert json.loads(as_json(BUILT, {"queue": 121}))["pushed"] == {"queue": 121}
    until = datetime(2013, 10, 2, 7, tzinfo=UTC)
    assert pushed_line({"queue": 1200, "planes": 0}, until) == (
        "1,200 facts pushed to 2 views, complete until 2013-10-02 07:00 UTC"
    )


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("", None),
        ("2013-10-02", datetime(2013, 10, 2, tzinfo=UTC)),
        ("2013-10-02T07:00:00Z", datetime(2013, 10, 2, 7, tzinfo=UTC)),
        ("2013-10-02T07:00:00+02:00", datetime(2013, 10, 2, 5, tzinfo=UTC)),
    ],
)
def test_a_moment_without_a_zone_is_in_utc(text, moment):
    assert read_moment(text) == moment


def test_what_is_no_moment_is_refused():
    with pytest.raises(ValueError, match="Invalid isoformat string"):
        read_moment("noon")
