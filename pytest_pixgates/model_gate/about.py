"""The gates of `model_gate` in words."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_pixgates.core.family import About

_PAGE = "docs/model-gate.md"
_INTERVAL = (
    "PASS if the whole interval of the figure is on the good side of the limit, FAIL if it is wholly beyond, else "
    "INCONCLUSIVE with what would decide. At the limit itself it passes at most alpha of the time."
)

ABOUT: Mapping[str, About] = {
    "limit": About(
        "One figure of the candidate on the labelled test set, against one limit.",
        _INTERVAL,
        ("scores", "label", "score", "decision", "threshold", "label_delay", "clock"),
        _PAGE,
    ),
    "slices": About(
        "The same limit in every group of the slice; a group that the policy names must be there.",
        "PASS if each group passes by itself; FAIL if one of k groups is beyond the limit at alpha / k. A group that "
        "is too small is INCONCLUSIVE and named.",
        ("slices",),
        _PAGE,
    ),
    "champion": About(
        "The candidate is not worse than the champion by more than the margin, on the same rows.",
        "PASS if the lower end of the paired interval of the difference is above the margin, FAIL if its upper end is "
        "below. No champion yet is said and does not block; one that can't be read is an ERROR.",
        ("champion", "registry", "test_set"),
        _PAGE,
    ),
    "fairness": About(
        "Groups are treated alike: the ratio of their rates, for every pair.",
        "PASS if the interval of every pair's ratio lies inside [1/ratio, ratio], FAIL if one lies wholly outside, "
        "with a bound that allows for the number of pairs. A group below `min_group` is INCONCLUSIVE.",
        ("fairness", "nulls"),
        _PAGE,
    ),
    "drift": About(
        "The rows that were judged are still like those of the training.",
        "FAIL for a column that is surely further off than its limit, PASS if all are surely within.",
        ("drift",),
        _PAGE,
    ),
    "artifact": About(
        "What is registered is what was evaluated: the same files, the same scores, and nothing that runs when opened.",
        "PASS only if every digest and every score agrees; anything else is a finding or an ERROR.",
        ("artifact", "model", "registry"),
        _PAGE,
    ),
    "test_set": About(
        "How many candidates were judged on this test set: each is another chance to pass by luck.",
        "FAIL beyond `max_candidates`; without it the count is only shown.",
        ("max_candidates",),
        _PAGE,
    ),
}
