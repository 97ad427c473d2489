"""The story: a good model goes to production, a bad one is stopped, a better one degrades there and is taken back.

Each step says what must come of it; anything else ends the story with what was said.
"""

from __future__ import annotations

import re
import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from ml_pipeline.demo import models
from ml_pipeline.demo.pipeline import Done, Pipeline
from ml_pipeline.features import FEATURES

FEW = ("--rows", "90000", "--accounts", "2000", "--fraud-rate", "0.02", "--seed", "11", "--jobs", "2")
BUDGET = ("--seed", "11", "--false-positive-budget", "0.02")
SECONDS = 60


class Unexpected(Exception):  # noqa: N818 - it is an outcome
    """Something ended otherwise than it must."""


class Models:
    """The models of the story, trained on made-up payments. `take` makes one the candidate of the registry."""

    def __init__(self, pipeline: Pipeline, story: Story) -> None:
        self.pipeline, self.story = pipeline, story
        self.place = pipeline.repository / "ml_pipeline"

    def take(self, which: str) -> None:
        getattr(self, which)()
        self.story.did(self.pipeline.step("evaluate"), shows="recall")
        self.story.did(self.pipeline.step("register"), shows="candidate")

    def good(self) -> None:
        self.story.did(self.pipeline.step("simulate", *FEW, "--out", self.place / "data"))
        self.story.did(self.pipeline.step("train", *BUDGET), shows="trees")

    def bad(self) -> None:
        shutil.copytree(self.place / "model", self.pipeline.root / "good")
        self.story.did(self.pipeline.step("train", *BUDGET, "--drop-features", *FEATURES[::2]), shows="trees")

    def better(self) -> None:
        """The good one, exported anew, by who did not think of payments larger than all of the test set."""
        shutil.rmtree(self.place / "model")
        _, above = models.largest(self.place / "evaluation")
        models.rewritten(self.pipeline.root / "good", self.place / "model", above)


class Story:
    """Tells what is done, and holds it against what must come of it."""

    def __init__(self, pipeline: Pipeline, write: Callable[[str], object] = print) -> None:
        self.pipeline, self.write, self.chapters = pipeline, write, 0
        self.began = time.monotonic()

    def chapter(self, title: str) -> None:
        self.chapters += 1
        self.write(f"\n{self.chapters}. {title}\n")

    def did(self, done: Done, code: int = 0, shows: str = "", says: str = "") -> Done:
        """Tell of a command: what `shows` finds of what it said. Raises Unexpected for another exit code, or word."""
        words = shlex.join(done.words).replace(f"{self.pipeline.root}/", "../").replace("../repository/", "")
        self.write(f"  $ {words}")
        lines = [line.strip() for line in done.said.splitlines() if shows and re.search(shows, line)]
        for line in lines:
            self.write(f"      {line.replace(str(self.pipeline.root), '..')}")
        if done.code:
            self.write(f"      exit code {done.code}")
        if done.code != code or (shows and not lines) or not re.search(says, done.said):
            expected = f"exit code {code}" + (f" and {says or shows!r}" if says or shows else "")
            raise Unexpected(f"{words}\nended with exit code {done.code}, not with {expected}:\n{done.said}")
        return done

    def holds(self, what: str, truth: object) -> None:
        """Tell of something that was looked up. Raises Unexpected if it does not hold."""
        if not truth:
            raise Unexpected(f"it does not hold that {what}")
        self.write(f"  = {what}")

    def tell(self, known: Models) -> None:
        """All of it."""
        line, (first, *_, last) = self.pipeline, self.pipeline.environments
        self.chapter("A repository: gates, manifests, and a policy that trusts one key to sign and two people")
        line.begin()
        self.holds(
            "its first commit is " + line.git("log", "-1", "--format=%h %s"), line.git("status", "--short") == ""
        )

        self.chapter("A model is trained, evaluated and registered")
        known.take("good")
        line.write("release.txt", "the first model\n")
        line.commit("The first model")

        self.chapter(f"Gates, evidence, promotion and deployment, from {first} to {last}")
        self.goes_out()
        good = line.model(last)
        self.holds(f"{last} answers with {good}", good)
        self.holds(f"MLflow's aliases follow: {_named(line.aliases())}", "champion" in line.aliases())

        self.chapter("A bad model is stopped by its gate")
        known.take("bad")
        line.write("release.txt", "a model without what it had to know of people's habits\n")
        line.commit("A model with fewer features")
        before = line.aliases()
        self.did(line.gates(first), 1, shows=r"^pixgates:|FAIL model_gate|measured: recall", says=r"limit\[recall\]")
        self.did(line.sign(first), 3, shows="pixgates sign")
        self.did(line.promote(first), 1, shows="refused|STOP")
        self.holds(
            "nothing was changed: the same models answer", {line.model(name) for name in (first, last)} == {good}
        )
        self.holds(f"and MLflow says so too: {_named(before)}", line.aliases() == before)

        self.chapter("A good one goes out")
        known.take("better")
        line.write("release.txt", "the first model, exported anew\n")
        line.commit("The first model, exported anew")
        self.goes_out()
        better = line.model(last)
        self.holds(f"{last} answers with {better}", better and better != good)

        self.chapter("It degrades: larger payments come than the test set had, and the model knows no answer")
        cents = models.largest(known.place / "evaluation")[0]
        self.holds("on usual payments it decides", _by(line.pay(last, cents // 100, 5)) == {better})
        self.degrades(last, cents * 3, good)

        self.chapter("What the ledger says")
        self.did(line.history(last), shows=r"live|left|replaced|whole")
        self.write(f"\nAll of it in {time.monotonic() - self.began:.0f} s.")

    def goes_out(self) -> None:
        """From the gates to the service, through all environments, as the same bytes."""
        line = self.pipeline
        for number, name in enumerate(line.environments):
            self.did(line.gates(name), shows="^pixgates:")
            self.did(line.sign(name), shows="pixgates sign")
            self.did(line.promote(name), shows="promote:")
            self.did(line.deploy(name), shows="answers after|is live")
            if number:
                self.did(line.step("diff", line.environments[number - 1], name), shows="are the same|differ in")

    def degrades(self, environment: str, cents: int, good: str) -> None:
        """Payments that the model can't score come until `watch` has gone back."""
        line = self.pipeline
        with line.watched(environment) as (words, watching):
            until = time.monotonic() + SECONDS
            decided = _by(line.pay(environment, cents, 5))
            self.holds(f"on these, {', '.join(decided)} decides in its place", decided == {"rules-1"})
            while watching.poll() is None and time.monotonic() < until:
                line.pay(environment, cents, 10)
            out, err = watching.communicate(timeout=SECONDS)
        done = Done(words, watching.returncode, out, err, 0)
        self.did(done, 1, shows="ALERT|answers after", says="ALERT")
        self.holds(f"{environment} answers with {line.model(environment)} again", line.model(environment) == good)
        self.holds("on payments of any size", _by(line.pay(environment, cents, 5)) == {good})


def _by(answers: list[dict[str, object]]) -> set[str]:
    """Which versions decided."""
    return {str(each.get("model_version", "nobody")) for each in answers}


def _named(aliases: dict[str, str]) -> str:
    return ", ".join(f"{name} is version {version}" for name, version in sorted(aliases.items())) or "none"


def told_in(root: Path, write: Callable[[str], object] = print) -> None:
    """Tell it in a folder. Raises Unexpected."""
    pipeline = Pipeline(root)
    story = Story(pipeline, write)
    try:
        story.tell(Models(pipeline, story))
    finally:
        pipeline.stop()
