"""The examples run as their READMEs say; the quick start has a test file of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.lm_server import formed, lm_server, wanted

CUSTOM = Path(__file__).parents[2] / "examples/custom-program"
RULES = "billing for money, shipping for parcels, technical for the rest; high only where the customer cannot wait"


TICKETS = {row["message"]: row for row in map(json.loads, (CUSTOM / "tickets.jsonl").read_text().splitlines())}


def support(body: dict[str, Any]) -> str:
    """A desk that knows every ticket once its instructions hold the rules, and a reflection LM that has them."""
    told = "\n".join(str(message["content"]) for message in body["messages"])
    asked = str(body["messages"][-1]["content"])
    ticket = next((row for message, row in TICKETS.items() if message in asked), {"team": "billing", "urgency": "low"})
    knows = ticket if RULES in told else {"team": "technical", "urgency": "low"}
    values = {"need": "help", "team": knows["team"], "urgency": knows["urgency"], "new_instruction": RULES}
    return formed({name: values[name] for name in wanted(asked)}, asked)


@pytest.mark.integration
def test_the_custom_program_runs_against_any_address(tmp_path: Path) -> None:
    folder = tmp_path / "custom"
    shutil.copytree(CUSTOM, folder, ignore=shutil.ignore_patterns(".dspytrack", "mlflow.db", "__pycache__"))
    with lm_server(support) as server:
        env = os.environ | {"OPENAI_API_KEY": "a-key-for-loopback", "LM_API_BASE": server.api_base}

        def dspytrack(*arguments: str) -> Any:
            command = [sys.executable, "-m", "dspytrack", *arguments]
            done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        plan = dspytrack("optimize", "config.yaml", "--dry-run", "--json")
        assert server.billed == 0
        assert [phase["lm_calls"] for phase in plan["phases"] if phase["phase"] == "baseline"] == [
            [2 * plan["examples"]["test"]] * 2
        ]
        result = dspytrack("optimize", "config.yaml", "--json")
        assert result["verdict"] == "better"
        assert result["usage"]["reflection"]["calls"] >= 1
        changed = (folder / result["record"] / "artifacts/key_improvements.txt").read_text()
        assert f"+{RULES}" in changed.replace("    +", "+")
        pulled = dspytrack("model", "pull", "best", "-o", "model", "--json")
        assert "`router` has to be importable" in (folder / "model/README.md").read_text()
        answer = subprocess.run(
            [sys.executable, "-m", "dspytrack", "model", "predict", pulled["folder"]],
            cwd=folder,
            env=env,
            input=json.dumps({"message": next(iter(TICKETS))}) + "\n",
            capture_output=True,
            text=True,
            check=True,
        )
    assert json.loads(answer.stdout)["team"] == next(iter(TICKETS.values()))["team"]
