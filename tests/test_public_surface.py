"""What `import dspytrack` offers: one list, imported when it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import dspytrack


@pytest.mark.parametrize("name", dspytrack.__all__)
def test_each_public_name_is_there(name: str) -> None:
    assert getattr(dspytrack, name).__name__ == {"load_model": "load"}.get(name, name)
    assert name in dir(dspytrack)


def test_a_name_that_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = dspytrack.no_such_name  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", ["import dspytrack", "from dspytrack import ConfigError", "import dspytrack.cli.main"])
def test_importing_the_package_imports_neither_dspy_nor_mlflow(code: str) -> None:
    code += "; import sys; print([name for name in ('dspy', 'mlflow', 'litellm', 'scipy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_import_paths_that_users_have_lead_to_the_same_things() -> None:
    from dspytrack.config_file import load_request
    from dspytrack.tracking import MLflowConfig, MLflowTracker
    from dspytrack.tracking.model import load

    assert load_request is dspytrack.load_request and load is dspytrack.load_model
    assert (MLflowConfig, MLflowTracker) == (dspytrack.MLflowConfig, dspytrack.MLflowTracker)
