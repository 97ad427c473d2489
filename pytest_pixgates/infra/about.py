"""The gates of `infra` in words."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_pixgates.core.family import About

_SCAN = (
    "PASS only if the tool is known by version and digest, read every file, looked at something, and no finding at or "
    "above `severity` is open. Rules that are switched off, waivers and the baseline take findings away; nothing takes "
    "away an ERROR: a tool that is missing, crashed or timed out, a file that can't be read, nothing to look at."
)
_PAGE = "docs/infra.md"

ABOUT: Mapping[str, About] = {
    "terraform": About(
        "The stack is formatted, its providers are those of the lock file, it is valid, and its own tests pass.",
        _SCAN,
        ("severity", "rules", "terraform_mirror", "timeout"),
        _PAGE,
    ),
    "tflint": About("No issue by tflint's rules.", _SCAN, ("severity", "rules", "tflint_config", "rulesets"), _PAGE),
    "checkov": About(
        "No misconfiguration that checkov knows; an overlay is judged as it is rendered.",
        _SCAN,
        ("severity", "rules", "checkov_frameworks", "timeout"),
        _PAGE,
    ),
    "hadolint": About(
        "No issue by hadolint's rules, nor by shellcheck's in RUN instructions.", _SCAN, ("severity", "rules"), _PAGE
    ),
    "kubernetes": About(
        "What the overlay renders fits the schemas of each version, and holds the objects that are expected of it.",
        _SCAN,
        ("kubernetes_versions", "kubernetes_expect", "severity", "rules"),
        _PAGE,
    ),
    "plan": About(
        "A saved plan is whole, loses no data, destroys and replaces nothing, and changes no more than is allowed.",
        _SCAN,
        ("plan_max_changes", "severity", "rules"),
        f"{_PAGE}#plans",
    ),
    "consistency": About(
        "What spans several files holds together: names, ports, selectors, identities, what environments differ in.",
        _SCAN + " A rule that found nothing to look at is named; a gate in which that holds for all is an ERROR.",
        ("severity", "rules"),
        "docs/consistency.md",
    ),
}
