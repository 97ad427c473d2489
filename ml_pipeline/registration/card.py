"""The model card: what the model is for, how well it does and for whom, and what it can't."""

from __future__ import annotations

from collections.abc import Iterable

from ml_pipeline.registration.figures import CONFIDENCE, Figures, Group, groups, measure
from ml_pipeline.registration.inputs import Evaluation, Model
from ml_pipeline.registration.origin import Commit

TEMPLATE = """\
# {name}

## Purpose
Tells, before a Pix payment is made, how probable it is that it is fraud. A payment that scores at least the threshold
is stopped. People review stopped payments on request (LGPD, art. 20). It is not for credit, nor for closing accounts.

## Data
Simulated payments; no real person's data. Test period: {began} to {ended}, {rows:,} payments, {frauds:,} of them fraud.

{data}

## Label
`{label}`: reported as fraud. Without a report a payment counts as honest after {window} days; a later period is judged
only when its labels are final (delay {delay}).

## Split
By time: {split}, test {rows:,} rows. The test period comes last, and no row of it was seen before.

## Features
{features}

## Figures
On the test period, at the threshold. In brackets the interval that holds the true rate in {confidence:.0%} of all such
tests (Clopper and Pearson); payments of one account are taken as independent, so intervals are rather narrow.

{figures}

{by_typology}

## By group
{by_region}

{by_age_band}

`none` is a payer without an age: a company.

## Threshold
{threshold!r}, chosen so that at most {budget} of the honest payments are stopped.

## Limits
- Simulated fraud is as varied as the simulator makes it. Figures on real payments will differ.
- A kind of fraud that the training period lacks is not learnt. Retrain when the features drift.
- Groups are counted, not corrected for. Whoever decides by the score looks at the groups above first.
- A label can be wrong in both directions: some fraud is never reported, some honest payments are.

## How to reproduce
Commit {commit}, then, with the data of the digests above:

    python -m ml_pipeline train
    python -m ml_pipeline evaluate
    python -m ml_pipeline register

Made with {environment}.
"""


def write(model: Model, evaluation: Evaluation, commit: Commit, environment: dict[str, str]) -> str:
    """The card in Markdown."""
    scores, described, threshold = evaluation.scores, model.described, model.threshold
    when = scores["initiated_at"]
    found = measure(scores["score"].to_numpy(), scores["is_fraud"].to_numpy(), threshold)
    return TEMPLATE.format(
        name=model.name,
        began=f"{when.min():%Y-%m-%d}",
        ended=f"{when.max():%Y-%m-%d}",
        rows=found.rows,
        frauds=found.frauds,
        data=_table(["input", "sha256"], described.get("data", {}).items()),
        label=described.get("label", "is_fraud"),
        window=described.get("label_window_days", "an unknown number of"),
        delay=evaluation.described.get("label_delay", "not given"),
        split=", ".join(f"{part} {rows:,} rows" for part, rows in described.get("rows", {}).items()),
        features=", ".join(f"`{each}`" for each in model.features),
        confidence=CONFIDENCE,
        figures=_figures(found),
        by_typology=_groups("typology", [each for each in groups(scores, "typology", threshold) if each.recall.of]),
        by_region=_groups("region", groups(scores, "region", threshold)),
        by_age_band=_groups("age band", groups(scores, "age_band", threshold)),
        threshold=threshold,
        budget=described.get("false_positive_budget", "an unknown share"),
        commit=commit,
        environment=", ".join(f"{name} {version}" for name, version in environment.items()),
    )


def _figures(found: Figures) -> str:
    rows = [
        ("recall", found.recall),
        ("precision", found.precision),
        ("false positive rate", found.false_positive_rate),
        ("average precision", f"{found.average_precision:.4f}"),
        ("ROC AUC", f"{found.roc_auc:.4f}"),
    ]
    return _table(["figure", "value"], rows)


def _groups(title: str, found: Iterable[Group]) -> str:
    rows = [(each.name, f"{each.rows:,}", each.recall.of, each.recall, each.false_positive_rate) for each in found]
    return _table([title, "payments", "frauds", "recall", "false positive rate"], rows)


def _table(titles: list[str], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(str(each) for each in line) + " |" for line in lines)
