"""Changes the infrastructure: plans to a file, has the plan judged, and applies exactly that file on signed evidence.

    python -m iac.apply --env dev --plan                       plans, and judges the plan by plans/gates.toml
    pixgates sign …                                            in a job of its own, the only one that has the key
    python -m iac.apply --env dev --evidence evidence.dsse.json

What is applied is what was judged, to the byte, of the commit that is here, on the state that it was planned for. If
the state has moved on, the plan is refused, made again, and asks for evidence of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from iac import lock
from iac.stack import Locked, Plan, Stack
from ml_pipeline.ledger import guard, steps
from ml_pipeline.ledger.steps import Refused, Step
from pytest_pixgates import PixgatesError

STACK = "iac/terraform/environments/{}"
POLICY = Path("plans/gates.toml")
ASKED_WRONGLY = 2


@dataclass(frozen=True)
class Order:
    """What is asked for. `unlock` is the lock that somebody has looked at, and wants taken away."""

    stack: Stack
    policy: Path
    reports: Path
    evidence: tuple[Path, ...] = ()
    unlock: str = ""
    dry_run: bool = False

    @property
    def environment(self) -> str:
        return self.stack.environment

    @property
    def label(self) -> str:
        """The plan's name in the evidence: its path in the repository."""
        return self.stack.plan_file.as_posix()


def plan(order: Order) -> None:
    """Plan, and judge the plan. Raises Refused if it does not pass."""
    stack = order.stack
    steps.carry_out(
        [
            Step("init", f"{stack.folder}, providers as they are locked", stack.init),
            Step("plan", f"to {order.label}", lambda: _planned(order)),
            Step("gate", f"by {order.policy}", lambda: _judged(order)),
        ],
        dry_run=order.dry_run,
    )
    if not order.dry_run:
        _tell_what_is_next(order)


def apply(order: Order) -> None:
    """Apply the plan that was saved, if the evidence says so. Raises Refused, ValueError, OSError."""
    stack, saved = order.stack, order.stack.saved()
    if (lost := stack.folder / "errored.tfstate").exists():
        raise Refused(f"{lost} holds a state that an earlier apply could not store: put it back first "
                      f"(terraform state push errored.tfstate), and remove it; nothing was applied")  # fmt: skip
    _ask(order, saved)
    stack.init()
    made_for, now = saved.state, stack.state()
    if made_for != now:
        _plan_again(order, f"it was made for {made_for}, and there is {now}")
    whole = [
        Step("apply", f"{order.label}, sha256 {saved.sha256[:12]}", lambda: _applied(order, saved)),
        Step("confirm", "plan again: nothing may be left to do", lambda: _confirmed(order)),
    ]
    steps.carry_out(whole, dry_run=order.dry_run)
    if not order.dry_run:
        stack.plan_file.unlink(missing_ok=True)


def drift(order: Order) -> None:
    """Say whether it is as it is declared; saves and changes nothing. Raises Refused if it is not."""
    order.stack.init()
    if not _with_lock(order, order.stack.settled):
        raise Refused(
            f"{order.environment}: is not as it is declared: see above; somebody changed it, or did not apply"
        )
    print(f"{order.environment}: is as it is declared", flush=True)


def _planned(order: Order) -> None:
    (order.reports / "evidence.dsse.json").unlink(missing_ok=True)  # of another plan
    if not _with_lock(order, order.stack.plan):
        print(f"{order.environment}: there is nothing to do", flush=True)


def _judged(order: Order) -> None:
    """Run the gates in processes of their own: pytest, and what does not trust it. Raises Refused."""
    run = os.environ.get("PIXGATES_RUN_ID") or f"plan-{os.getpid()}-{time.time_ns()}"
    env = {**os.environ, "PLAN": order.label, "PIXGATES_RUN_ID": run}
    config, reports = str(order.policy), str(order.reports)
    pytest = ["pytest", str(order.policy.parent), "-q", "--pixgates-no-cache", "--pixgates-config", config,
              "--pixgates-env", order.environment, "--pixgates-report-dir", reports]  # fmt: skip
    verdict = ["pytest_pixgates", "verdict", "--config", config, "--env", order.environment, "--report-dir", reports]
    for words in (pytest, verdict):
        if subprocess.run([sys.executable, "-m", *words], env=env, check=False).returncode:
            raise Refused(f"STOP: the plan does not pass {order.policy}; nothing was applied")


def _tell_what_is_next(order: Order) -> None:
    where = f"--config {order.policy} --env {order.environment} --report-dir {order.reports}"
    evidence = order.reports / "evidence.dsse.json"
    print(f"{order.environment}: the plan passed, sha256 {order.stack.saved().sha256}")
    print(f"sign it, where the key is:  pixgates sign {where}")
    print(
        f"then apply it:              python -m iac.apply --env {order.environment} --evidence {evidence}", flush=True
    )


def _ask(order: Order, saved: Plan) -> None:
    """Ask `pixgates verify` about exactly this plan of exactly this commit. Raises Refused.

    Which evidence was used is remembered by the state: a plan that was applied once is stale ever after.
    """
    subjects = (f"{order.label}=sha256:{saved.sha256}", "source=git:HEAD")
    answer = guard.authorise(order.policy, order.environment, subjects, order.evidence, {})
    for each in answer.tolerated:
        print(f"tolerated: {each}")
    if not answer.go:
        said = [f"refused: {each}" for each in answer.refusals]
        raise Refused("\n".join([*said, f"STOP: {order.label} is not applied; nothing was changed"]))
    print(f"GO: {order.label}, sha256 {saved.sha256}", flush=True)


def _plan_again(order: Order, why: str) -> None:
    """Raises Refused: what is planned now is another plan, which nobody has vouched for."""
    said = f"STOP: the plan is stale: {why}; nothing was applied"
    if order.dry_run:
        raise Refused(f"{said}; it would be planned again")
    print(f"{order.environment}: {said}; planning again", file=sys.stderr, flush=True)
    plan(order)
    raise Refused(f"{said}; there is a new plan, which needs evidence of its own")


def _applied(order: Order, saved: Plan) -> None:
    if not _with_lock(order, lambda: order.stack.apply(saved)):
        _plan_again(order, "the state has moved on since")


def _confirmed(order: Order) -> None:
    if not _with_lock(order, order.stack.settled):
        raise Refused(f"{order.environment}: applied, but there is more to do: see above, and plan again: --plan")
    print(f"{order.environment}: is as it is declared", flush=True)


def _with_lock(order: Order, do: Callable[[], bool]) -> bool:
    """Do what takes the lock; once more if the lock was left by the dead, or is the one to be taken away.

    Raises Refused if somebody may still be working.
    """
    stack = order.stack
    try:
        done = do()
    except Locked as found:
        held = found.held
        if held.id == order.unlock:
            print(f"{held}: taken away as asked", flush=True)
        elif lock.left_by_the_dead(held, stack.name):
            print(f"{held}: its run on this machine was killed, so it is taken away", flush=True)
        else:
            fix = f"wait for it; or, if nobody works on it any more, look at what it was, and add --unlock {held.id}"
            raise Refused(f"STOP: {held}; nothing was changed\n{fix}") from None
        stack.unlock(held)
        lock.forget_the_dead(stack.name)  # before somebody else has the lock: one note proves one lock
        done = do()
    lock.forget_the_dead(stack.name)
    return done


def order_of(arguments: argparse.Namespace) -> Order:
    """Raises ValueError, OSError."""
    steps.checked(arguments.config, arguments.env)
    folder = arguments.stack or Path(STACK.format(arguments.env))
    if not folder.is_dir() or folder.is_absolute() or ".." in folder.parts:
        raise ValueError(f"{folder} is no folder here; run this where {POLICY.parent}/ is, or name it with --stack")
    backend = arguments.backend_config
    if backend is None:
        backend = ["backend.hcl"] if (folder / "backend.hcl").is_file() else []
    for each in (folder, *(folder / name for name in backend if "=" not in name)):
        _refuse_of_another(each, arguments.env)
    reports = arguments.report_dir or Path(".pixgates", "plans", arguments.env)
    evidence = tuple(arguments.evidence or ())
    stack = Stack(folder, arguments.env, tuple(backend), arguments.wait)
    return Order(stack, arguments.config, reports, evidence, arguments.unlock or "", arguments.dry_run)


def _refuse_of_another(path: Path, environment: str) -> None:
    """Raises ValueError for what is another environment's: this one's policy, key and reviewers don't speak for it."""
    all_of_them, there = Path(STACK.format("")).resolve(), path.resolve()
    if there.is_relative_to(all_of_them) and not there.is_relative_to(all_of_them / environment):
        raise ValueError(f"{path} is of another environment, not of {environment}: name it by --env")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m iac.apply", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    made.add_argument("--env", required=True, help="environment of the policy")
    what = made.add_mutually_exclusive_group()
    what.add_argument("--plan", action="store_true", help="plan and judge, apply nothing")
    what.add_argument("--drift", action="store_true", help="say whether it is as it is declared, change nothing")
    what.add_argument("--evidence", type=Path, nargs="+", metavar="FILE", help="signed evidence for the plan")
    made.add_argument("--stack", type=Path, metavar="FOLDER", help=f"of Terraform ({STACK.format('ENV')})")
    made.add_argument("--backend-config", action="append", metavar="CONFIG", help="where its state lies (backend.hcl)")
    made.add_argument("--config", type=Path, default=POLICY, help="the policy (%(default)s)")
    made.add_argument("--report-dir", type=Path, metavar="DIR", help="records of the gates (.pixgates/plans/ENV)")
    made.add_argument("--wait", type=int, default=0, metavar="SECONDS", help="for somebody else's lock (%(default)s)")
    made.add_argument("--unlock", metavar="ID", help="take away this very lock, which a killed run left")
    made.add_argument("--dry-run", action="store_true", help="ask and check, change nothing")
    return made


def main(words: list[str] | None = None) -> int:
    """Plan or apply. Returns the exit code: 0 done, 1 refused or failed, 2 asked wrongly."""
    arguments = parser().parse_args(words)
    try:
        with steps.exits():
            order = order_of(arguments)
            (plan if arguments.plan else drift if arguments.drift else apply)(order)
    except (ValueError, OSError, PixgatesError) as error:
        print(f"python -m iac.apply: {error}", file=sys.stderr)
        return ASKED_WRONGLY
    return 0


if __name__ == "__main__":
    sys.exit(main())
