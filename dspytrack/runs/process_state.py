"""The process-wide state that a run changes and restores: a notebook that ran a run is as it was before."""

from __future__ import annotations

import logging
import os
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def kept_process_state() -> Iterator[None]:
    """Restore, after the block, the process-wide state that it has changed."""
    with ExitStack() as stack:
        for keep in (_kept_settings, _kept_seeds, _kept_import_path, _kept_environment, _kept_root_logger):
            stack.enter_context(keep())
        yield


@contextmanager
def _kept_settings() -> Iterator[None]:
    """A program's module may call `dspy.configure`, and `dspy.configure_cache`."""
    from dspytrack.lm.metering.dspy_hooks import kept_settings

    with kept_settings():
        yield


@contextmanager
def _kept_seeds() -> Iterator[None]:
    """Optimizers draw from the global random numbers, which a run seeds."""
    import numpy as np

    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def _kept_import_path() -> Iterator[None]:
    """The folder of the config file is looked into first while its modules are imported."""
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def _kept_environment() -> Iterator[None]:
    """Logins of the env file, and MLflow's time-outs, are set as environment variables."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _kept_root_logger() -> Iterator[None]:
    """Libraries set the root logger's level and handlers as they are imported."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
