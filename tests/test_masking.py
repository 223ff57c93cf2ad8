"""No secret in what a run leaves or prints, even where the provider repeats it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspytrack.masking import keep_secret, masked
from dspytrack.pipeline import OptimizationPipeline
from tests.lm_server import lm_server
from tests.runs import request, rows

KEY = "a-key-that-nobody-may-read"


def test_secrets_of_the_environment_and_of_addresses_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", KEY)
    keep_secret("told-by-name")
    text = f"key {KEY}, told-by-name, postgresql://me:pass@host/db, {'env-file-secret'}"
    assert masked(text, ["env-file-secret"]) == "key ***, ***, postgresql://me:***@host/db, ***"
    assert masked("plain: a text, http://host:80/x@y") == "plain: a text, http://host:80/x@y"


@pytest.mark.integration
def test_a_provider_that_repeats_the_key_leaves_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with lm_server() as server:
        server.faults = [400] * 30
        server.fault_message = f"the key {KEY} is not liked"
        pipeline = OptimizationPipeline(enable_tracking=False, runs_dir=tmp_path / "runs")
        result = pipeline.run(request(server.api_base, tmp_path), training_data=rows(60))
    assert result.status == "failed"
    assert "is not liked" in str(result.error)
    assert KEY not in result.model_dump_json()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"is not liked" in path.read_bytes() for path in files)
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
