from modelstation.core.jobs.progress import JobProgress


def test_what_a_row_keeps_is_read_and_what_it_lacks_is_zero_or_missing():
    kept = {"step": 3, "total_steps": 8, "loss": 0.5, "eta_seconds": None, "rows": 12}
    assert JobProgress.from_json(kept) == JobProgress(step=3, total_steps=8, loss=0.5)
    assert JobProgress.from_json({"total_steps": None}) == JobProgress()


def test_percent_is_of_the_steps_and_never_more_than_all():
    assert JobProgress().percent == 0
    assert JobProgress(step=3, total_steps=8).percent == 38
    assert JobProgress(step=9, total_steps=8).percent == 100
