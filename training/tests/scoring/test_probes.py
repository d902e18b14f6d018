"""The general probes can be passed and failed, and forgetting is reported, not judged."""

import pytest

from training.scoring.probes import all_probes, passes, probe_report

GOOD = [probe.good for probe in all_probes()]


@pytest.mark.parametrize("probe", all_probes(), ids=lambda probe: probe.id)
def test_each_probe_is_passed_by_its_good_answer_and_not_by_nothing_or_nonsense(probe):
    assert passes(probe.check, probe.good)
    assert not passes(probe.check, "")
    assert not passes(probe.check, "card_arrival")


def test_there_are_about_sixty_of_several_kinds_and_none_twice():
    probes = all_probes()
    assert 55 <= len(probes) <= 70
    assert len({probe.id for probe in probes}) == len({probe.prompt for probe in probes})
    assert len({probe.id for probe in probes}) == len(probes)
    assert len({probe.kind for probe in probes}) >= 8


@pytest.mark.parametrize(
    ("check", "answer", "passed"),
    [
        ({"contains": ["ice"]}, "It is ICE.", True),
        ({"contains": ["ice"]}, "It is nice.", False),
        ({"lacks": ["red"]}, "Redder", True),
        ({"lacks": ["red"]}, "", False),
        ({"equals": ["HELLO"], "exact_case": True}, "hello", False),
        ({"equals": ["hello"]}, "Hello!", True),
        ({"number": 5}, "2 + 3 = 5.", True),
        ({"number": 5}, "5 and 6", False),
        ({"json": {"a": 1}}, '```json\n{"a": 1.0}\n```', True),
        ({"json": {"a": 1}}, '{"a": 1} is it', False),
        ({"contains": ["a"], "regex": "^b"}, "a", False),
    ],
)
def test_a_check_reads_answers_as_a_person_would(check, answer, passed):
    assert passes(check, answer) is passed


def test_forgetting_is_noted_only_beyond_chance():
    kept = probe_report(GOOD, GOOD, seed=0)
    assert (kept["base"]["score"], kept["forgetting"]["score"], kept["note"]) == (1, 0, "")
    one_less = probe_report(GOOD, ["", *GOOD[1:]], seed=0)
    assert one_less["forgetting"]["score"] < 0
    assert one_less["note"] == ""
    gone = probe_report(GOOD, ["card_arrival"] * len(GOOD), seed=0)
    assert gone["forgetting"]["high"] < 0
    assert "forget" in gone["note"]
    assert sum(kind["base"] for kind in gone["kinds"]) == len(GOOD)
    assert gone["rows"][0]["tuned_passed"] is False
