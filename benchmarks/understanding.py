"""How much of a requirement is understood: kind, labels, keys, language, and what is asked about.

    python -m benchmarks.understanding [development|held_out|dev]…

One line a language. `dev` are the real requirements of `MODELSTATION_DATA`. Of the held-out part
only these figures are printed, never a case, so that no rule is written from it; `--cases` names
what is wrong in the others. Weights: `python -m tools.understanding.fit`.
"""

import argparse
import time
from collections.abc import Iterable, Sequence

from modelstation.testing import shared_data
from tools.understanding.cases import DEVELOPMENT, HELD_OUT, cases_in
from tools.understanding.scoring import FIGURES, Outcome, figures, outcomes_of, real_cases


def _table(name: str, outcomes: Sequence[Outcome]) -> Iterable[str]:
    yield f"\n### {name}: {len(outcomes)} requirements\n"
    yield f"| language | n | {' | '.join(FIGURES)} |"
    yield f"|---|---:|{'---:|' * len(FIGURES)}"
    languages = sorted({outcome.case.language for outcome in outcomes} - {""})
    for language in ["all", *languages]:
        some = [o for o in outcomes if language in ("all", o.case.language)]
        cells = [_share(*counts) for counts in figures(some).values()]
        yield f"| {language} | {len(some)} | {' | '.join(cells)} |"


def _share(right: int, total: int) -> str:
    return f"{right / total:.2f} ({total})" if total else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["development", "held_out", "dev"])
    parser.add_argument("--cases", action="store_true")
    options = parser.parse_args()
    for part in options.parts:
        files = {"development": DEVELOPMENT, "held_out": HELD_OUT}
        cases = list(cases_in(files[part])) if part in files else real_cases(shared_data())
        begun = time.perf_counter()
        outcomes = outcomes_of(cases)
        seconds = time.perf_counter() - begun
        print("\n".join(_table(part, outcomes)))
        print(f"\n{1000 * seconds / len(cases):.0f} ms a requirement")
        if options.cases and part != "held_out":
            for outcome in outcomes:
                if outcome.wrong:
                    print(outcome.case.id, outcome.right, outcome.intent.labels)


if __name__ == "__main__":
    main()
