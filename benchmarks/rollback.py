"""How long a rollback takes on the local target, and what the keeper's hop costs a request.

    python benchmarks/rollback.py [ROUNDS]

Each round promotes and deploys the other of two small models, then runs `python -m ml_pipeline rollback` as a command.
Restored is when a payment through the stable port is decided by the model that was returned to, as seen from outside.
Fails if that took longer than 5 s.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from ml_pipeline.deploy import deploy
from ml_pipeline.targets.proof import payment
from tests.promotion.world import Model, World, write_model

BAR = 5.0  # seconds
REQUESTS = 2_000


def decided_by(port: int) -> str:
    """The model that decides on a payment now."""
    return str(posted(http.client.HTTPConnection("127.0.0.1", port, timeout=5)).get("model_version", ""))


def posted(connection: http.client.HTTPConnection) -> dict[str, str]:
    connection.request("POST", "/score", json.dumps(payment()), {"content-type": "application/json"})
    found: dict[str, str] = json.loads(connection.getresponse().read())
    return found


def back(world: World, to: Model) -> tuple[float, float]:
    """Seconds from the command until the payment is decided by the older model, and until the command's end."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "ml_pipeline", *world.command("rollback")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        while not decided_by(world.port).endswith(to.sha256[:12]):
            if running.poll():
                raise SystemExit(f"the rollback ended with {running.returncode}")
            time.sleep(0.01)
        restored = time.perf_counter() - began
        running.wait()
    return restored, time.perf_counter() - began


def hop(world: World) -> tuple[float, float]:
    """The median milliseconds of a request by the stable port, and straight to the process, taken in turns."""
    status = world.target().status()
    ports = (world.port, status["services"][str(status["active"])]["port"])
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=5) for port in ports]
    taken: list[list[float]] = [[], []]
    for _ in range(REQUESTS):
        for which, connection in enumerate(connections):
            began = time.perf_counter()
            posted(connection)
            taken[which].append((time.perf_counter() - began) * 1000)
    through, straight = map(statistics.median, taken)
    return through, straight


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(prefix="pixgates-") as name:
        root = Path(name)
        models = [write_model(root / "good", 1.0), write_model(root / "better", 2.0)]
        world = World(root / "world")
        try:
            world.promote(models[0])
            deploy(world.place())
            found = []
            for _ in range(rounds):
                world.promote(models[1])
                deploy(world.place())
                found.append(back(world, models[0]))
            through, straight = hop(world)
        finally:
            world.stop()
    restored = sorted(each for each, _ in found)
    whole = max(each for _, each in found)
    print(
        f"restored: median {statistics.median(restored):.2f} s, worst {restored[-1]:.2f} s of {rounds}; bar {BAR:g} s"
    )
    print(f"the whole command: worst {whole:.2f} s")
    print(f"a request: {through:.2f} ms through the keeper, {straight:.2f} ms straight to the process")
    return 0 if restored[-1] <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
