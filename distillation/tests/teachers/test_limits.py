"""Numbers and keys beyond what is meant: refused or held to, and no key in any message."""

from decimal import Decimal

import pytest

from distillation.teachers import services
from distillation.teachers.forms import TeacherForm
from distillation.teachers.services import Budget, RunDraft
from modelstation.core import outbound
from modelstation.core.errors import UserFacingError

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_budget_of_nothing_buys_nothing(run_of, fake):
    run_of(rows=10, budget=Budget(cost=Decimal(0)))
    assert not fake.requests


def test_huge_budgets_and_prices_are_held_to_what_is_stored(alice, model, teacher):
    teacher.completion_price = services.MOST_MONEY
    teacher.save()
    huge = RunDraft(rows=20_000, budget=Budget(requests=10**15, tokens=10**15))
    run = services.start_run(actor=alice, model=model, teacher=teacher, draft=huge)
    assert (run.max_requests, run.max_cost) == (services.MOST_COUNT, services.MOST_MONEY)


def test_a_price_that_cannot_be_stored_is_refused_by_the_form():
    form = TeacherForm({"prompt_price": "999999999999", "completion_price": "1"})
    assert "prompt_price" in form.errors


def test_a_key_with_a_line_break_is_refused(alice, org, teacher):
    with pytest.raises(UserFacingError) as refusal:
        services.change_teacher(actor=alice, org=org, teacher=teacher, api_key="sk-se\ncret")
    assert refusal.value.param == "api_key"


def test_a_header_that_cannot_be_sent_is_not_told(fake):
    with pytest.raises(outbound.Unreachable) as error:
        outbound.send("GET", fake.url, headers={"authorization": "Bearer sk-se\ncret"})
    assert "cret" not in str(error.value)
