"""The class of an error says how the API answers."""

import pytest

from modelstation.core import errors
from modelstation.core.web.api import exception_handler


@pytest.mark.parametrize(
    ("kind", "status", "retry"),
    [
        (errors.UserFacingError, 400, None),
        (errors.NotFound, 404, None),
        (errors.Conflict, 409, "false"),
        (errors.Busy, 409, None),
        (errors.TooLarge, 413, None),
        (errors.Unprocessable, 422, None),
        (errors.TooMany, 429, None),
        (errors.Unavailable, 503, None),
        (errors.NoSpace, 507, None),
    ],
)
def test_each_class_has_its_status_and_only_lasting_conflicts_say_not_to_retry(kind, status, retry):
    response = exception_handler(kind("No.", code="some_code", hint="Wait.", param="rows"), {})
    assert response.status_code == status
    assert response.headers.get("x-should-retry") == retry
    error = {"code": "some_code", "message": "No.", "param": "rows", "hint": "Wait."}
    assert response.data == {"error": error}
