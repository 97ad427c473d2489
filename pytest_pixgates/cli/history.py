"""`pixgates history`: what earlier runs measured, and what slides towards its limit."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_pixgates.cli.arguments import CONFIG, add_config, add_report_dir, named, policy_file, report_dir
from pytest_pixgates.core import environ

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers
    from pytest_pixgates.history.entry import Entry
    from pytest_pixgates.history.slide import Series, Slide

DONE, SLIDES, NO_HISTORY = 0, 1, 5  # 4 is a usage error, as everywhere
_BARS = "▁▂▃▄▅▆▇█"


def add_parser(subparsers: Subparsers) -> None:
    """Register `history`."""
    parser = subparsers.add_parser(
        "history",
        help="show what earlier runs measured, and warn of what slides towards its limit",
        epilog="exit code: 0 shown, 1 it can't be read, or with --strict something slides, 4 asked wrongly, 5 no runs",
    )
    add_report_dir(parser)
    add_config(parser)
    place = f"a file, or mlflow+URI; default: ${environ.HISTORY}, or history.db beside the records"
    parser.add_argument("--history", type=named, metavar="WHERE", help=place)
    parser.add_argument("--gate", type=named, metavar="TEXT", help="only of gates whose id holds this")
    parser.add_argument("--env", type=named, metavar="NAME", help="runs for this environment; default: for none")
    parser.add_argument("--last", type=_count, default=50, metavar="N", help="look at so many runs; default: 50")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if something slides")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    parser.set_defaults(run=run_history)


def run_history(args: argparse.Namespace) -> int:
    """Print each measurement over the runs. Raises PolicyError, UsageError, HistoryError."""
    from pytest_pixgates.core import policy
    from pytest_pixgates.history import slide, store

    reviewed = policy.load(policy_file(args), environment=args.env or "", option=CONFIG)
    kept = store.at(args.history or environ.history(), report_dir(args, reviewed))
    entries = [each for each in kept.read(args.last) if each.environment == (args.env or "")]
    if not entries:
        sys.stderr.write(f"pixgates: no runs in {kept}\n  fix: run all gates to their end, and they are kept there\n")
        return NO_HISTORY
    every = [each for each in slide.series(entries) if (args.gate or "") in each.gate]
    found = slide.slides(every)
    sys.stdout.write(_document(entries, every, found) if args.json else _text(entries, every, found, str(kept)))
    return SLIDES if found and args.strict else DONE


def _text(entries: Sequence[Entry], every: Sequence[Series], found: Sequence[Slide], place: str) -> str:
    from pytest_pixgates.report.text import counted, moment, plain

    first, last = moment(entries[0].started), moment(entries[-1].started)
    lines = [f"{counted(len(entries), 'run')} in {plain(place)}, {first:%Y-%m-%d} to {last:%Y-%m-%d}"]
    for gate in dict.fromkeys(each.gate for each in every):
        lines += ["", plain(gate), *(_line(each) for each in every if each.gate == gate)]
    lines += ["", *(f"slow slide: {plain(str(each))}" for each in found)]
    lines.append(f"pixgates history: {counted(len(every), 'measurement')}, {counted(len(found), 'slow slide')}")
    return "\n".join(lines) + "\n"


def _line(each: Series) -> str:
    from pytest_pixgates.core.quantity import shown
    from pytest_pixgates.report.text import cut, plain

    values = [figure.value for _, figure in each.points]
    low, size = min(values), max(values) - min(values)
    bars = "".join(_BARS[round((value - low) / size * 7) if size else 3] for value in values[-30:])
    then, now, limit = (shown(number, each.unit) for number in (values[0], values[-1], each.limit))
    return f"  {cut(plain(each.name), 40):<40} {bars:<30} {plain(f'{then} -> {now}, limit {each.operator} {limit}')}"


def _document(entries: Sequence[Entry], every: Sequence[Series], found: Sequence[Slide]) -> str:
    from pytest_pixgates.core import decode

    told = {
        "runs": [{key: value for key, value in decode.encode(each).items() if key != "points"} for each in entries],
        "measurements": [
            {
                "gate": each.gate,
                "name": each.name,
                "points": [{"started": started, **decode.encode(figure)} for started, figure in each.points],
            }
            for each in every
        ],
        "slides": [
            {"gate": each.series.gate, "name": each.series.name, "runs_left": each.runs, "says": str(each)}
            for each in found
        ],
    }
    return json.dumps(told, indent=1) + "\n"


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number
