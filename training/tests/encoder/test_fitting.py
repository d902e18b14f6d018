from random import Random

import numpy as np
import pytest

from modelstation.lm.encoder.head import NGRAMS, Head
from training.encoder.fitting import (
    Rows,
    accuracy,
    calibration_error,
    fit,
    fitted_temperature,
    log_loss,
    trials_of,
    vocabulary,
)
from training.tests.encoder.rows import tickets


def rows(pairs):
    return Rows(*zip(*pairs, strict=True))


def drawn(count, truth_share, seed=0):
    """Logits of three labels that are right as often as `truth_share`, all equally sure."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, count)
    said = np.where(random.random(count) < truth_share, truth, (truth + 1) % 3)
    return 8 * np.eye(3, dtype=np.float32)[said], truth


def test_the_temperature_makes_the_likeliest_as_sure_as_it_is_often_right():
    logits, truth = drawn(4000, 0.7)
    assert calibration_error(np.asarray(_softmax(logits)), truth) > 0.25
    tempered = logits / np.float32(fitted_temperature(logits, truth))
    assert calibration_error(_softmax(tempered), truth) < 0.05


def test_few_rows_that_are_all_right_are_no_reason_to_be_certain():
    logits, truth = drawn(8, 1.0)
    assert _softmax(logits / np.float32(fitted_temperature(logits, truth))).max() < 0.95


def test_a_label_that_no_training_row_has_counts_as_wrong_and_breaks_nothing():
    logits = np.eye(3, dtype=np.float32)
    truth = np.array([0, 1, -1])
    assert accuracy(logits, truth) == pytest.approx(2 / 3)
    assert 0 < log_loss(logits, truth) < 2
    assert log_loss(logits[2:], truth[2:]) == 0.0


def test_ngrams_of_a_single_text_are_left_out():
    known, idf = vocabulary(["tap tap", "tap drips", "light"])
    assert len(known) == len(idf) == len(set(known.tolist()))
    assert np.log(4 / 3) + 1 == pytest.approx(idf[0])


@pytest.mark.parametrize("labels", [2, 3])
def test_a_fit_tells_labels_apart_and_is_the_same_every_time(tmp_path, labels):
    pairs = [pair for pair in tickets(252) if labels == 3 or pair[1] != "Heating"]
    Random(0).shuffle(pairs)
    train, valid, test = rows(pairs[::2]), rows(pairs[1::4]), rows(pairs[3::4])
    trials = []
    fitted = fit(train, valid, {}, {}, trials.append)
    assert len(trials) == trials_of({}) == len(fitted.trials)
    assert fitted.accuracy > 0.9

    fitted.head.save(tmp_path)
    head = Head.load(tmp_path)
    said = [head.settings.labels[head.probabilities(text, {}).argmax()] for text in test.texts]
    assert np.mean([a == b for a, b in zip(said, test.labels, strict=True)]) > 0.9
    again = fit(train, valid, {}, {})
    assert again.head.settings == fitted.head.settings
    assert (again.head.tensors[f"{NGRAMS}.weight"] == fitted.head.tensors[f"{NGRAMS}.weight"]).all()


def test_features_that_say_nothing_get_no_share():
    train, valid = rows(tickets(252)[::2]), rows(tickets(252)[1::2])
    random = np.random.default_rng(0)
    noise = tuple(
        random.normal(size=(len(part.texts), 16)).astype(np.float32) for part in (train, valid)
    )
    parts = fit(train, valid, {"noise": noise}, {"noise": "r"}).head.settings.parts
    assert parts.get("noise", 0.0) < 0.05 * parts[NGRAMS]


def test_one_label_is_refused_and_no_validation_row_is_not():
    with pytest.raises(ValueError, match="only one"):
        fit(Rows(["a", "b"], ["x", "x"]), Rows([], []), {}, {})
    fitted = fit(rows(tickets(60)), Rows([], []), {}, {})
    assert fitted.head.settings.temperature == 1.0


def _softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
