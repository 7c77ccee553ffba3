"""Does freezing pay here? One word and one sentence for a panel, from its verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from freezeout.naming import counted

from ..comparisons import Panel
from ..panel_verdicts import PanelVerdicts, document
from ..pooled import LEAST
from ..summary import FEW_IMAGES
from ..text import number
from ..verdicts import AS_GOOD, BETTER, CANNOT_TELL, WORSE
from ..whole import NOT_WHOLE, still

# Why a panel's answer is no result, and how a list calls it.
SCREEN, FEW = "errors of the validation split (chosen on, not reported on)", f"fewer than {FEW_IMAGES:,} images"
MARKS = {SCREEN: "a screen", FEW: "few images"}
WORDS = (BETTER, WORSE, AS_GOOD, CANNOT_TELL)
YES, NO, EVEN, OPEN = "yes", "no", "no difference", "cannot tell"


@dataclass(frozen=True)
class Answer:
    """The answer at the top of a panel.

    Attributes:
        word: YES, NO, EVEN or OPEN; NOT_WHOLE while runs of its sweep are to do.
        sentence: Which arms, by how much and from how many seeds.
    """

    word: str
    sentence: str


def answer(one: PanelVerdicts) -> Answer:
    """Whether some way of freezing beats training the plain network for as long.

    It does if an arm is *better*; it does not if every arm is *worse*; it makes no difference if every arm that is not
    worse is *as good*. Otherwise the answer is open, and the sentence says what is missing.
    """
    arms = document(one)["arms"]
    if one.panel.waits:
        return Answer(NOT_WHOLE, f"{still(one.panel.to_do)}; verdicts are given at the end.")
    if not arms:
        return Answer(OPEN, "No way of freezing has been tried here.")
    if one.judgement.curve is None:
        return Answer(OPEN, "No shortened baseline has an error, so there is nothing to compare freezing with.")
    judged = [arm for arm in arms if arm["verdict"] in WORDS]
    if not judged:
        reasons = ", ".join(dict.fromkeys(arm["verdict"] for arm in arms))
        few = f" A verdict needs {LEAST} seeds." if f"under {LEAST} seeds" in reasons else ""
        return Answer(OPEN, f"None of {counted(len(arms), 'way')} of freezing has a verdict: {reasons}.{few}")
    by_word = {
        word: [arm for arm in judged if arm["verdict"] == word] for word in (BETTER, WORSE, AS_GOOD, CANNOT_TELL)
    }
    word = _word(by_word, len(arms))
    return Answer(word, f"{_first(by_word, len(arms))} {_rest(by_word, len(arms), judged)}".strip())


def uncounted(panel: Panel) -> str:
    """Why the answer of a panel does not count as a result: SCREEN or FEW; "" if it counts.

    Arms and margins of other sweeps are chosen on errors of the validation split.
    """
    if panel.first("evaluation_split") == "validation":
        return SCREEN
    return FEW if panel.first("evaluation_images") < FEW_IMAGES else ""


def _word(by_word: dict[str, list], of: int) -> str:
    if by_word[BETTER]:
        return YES
    if len(by_word[WORSE]) == of:
        return NO
    return EVEN if len(by_word[WORSE]) + len(by_word[AS_GOOD]) == of else OPEN


def _first(by_word: dict[str, list], of: int) -> str:
    """The sentence that answers."""
    better, worse = by_word[BETTER], by_word[WORSE]
    if better:
        best = min(better, key=lambda arm: arm["difference"])
        ways = f"{len(better)} of {of} ways of freezing {'has' if len(better) == 1 else 'have'}"
        return (
            f"At equal training time {ways if of > 1 else 'the one way of freezing has'} a lower error than the plain "
            f"network trained for less time: {best['arm']} by {_less(best)} of its error, at {100 * best['saving']:.0f}"
            " % less time than the full baseline."
        )
    if len(worse) == of:
        near = min(worse, key=lambda arm: arm["difference"])
        ways = f"All {of} ways of freezing have" if of > 1 else "The one way of freezing has"
        interval = f"{number(near['difference'], 1)} % [{number(near['low'], 1)}, {number(near['high'], 1)}]"
        return (
            f"{ways} a higher error than the plain network trained for as long, by at least {interval} ({near['arm']})."
        )
    none = f"None of {of} ways of freezing is" if of > 1 else "The one way of freezing is not"
    return f"{none} shown to have a lower error than the plain network trained for as long."


def _rest(by_word: dict[str, list], of: int, judged: Sequence[dict[str, Any]]) -> str:
    """A sentence on the arms that the first sentence does not mention."""
    counts = {
        "worse": len(by_word[WORSE]) if len(by_word[WORSE]) < of else 0,
        "as good within the margin": len(by_word[AS_GOOD]),
        f"undecided with n = {_seeds(by_word[CANNOT_TELL])} seeds": len(by_word[CANNOT_TELL]),
        "without a verdict": of - len(judged),
    }
    words = [f"{n} {'is' if n == 1 else 'are'} {what}" for what, n in counts.items() if n]
    if not words:
        return ""
    return f"{'Of the others, ' if by_word[BETTER] else ''}{', '.join(words)}."


def _seeds(arms: Sequence[dict[str, Any]]) -> str:
    seeds = sorted({arm["n"] for arm in arms})
    return " to ".join(map(str, dict.fromkeys([*seeds[:1], *seeds[-1:]])))


def _less(arm: dict[str, Any]) -> str:
    """`4.9 % [3.7, 6.0]`, the reduction by an arm that is better."""
    return f"{number(-arm['difference'], 1)} % [{number(-arm['high'], 1)}, {number(-arm['low'], 1)}]"
