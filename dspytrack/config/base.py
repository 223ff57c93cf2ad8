"""What all sections of a request share: their base model, the common kinds of values, and the marks on fields.

The sections themselves are in `schema.py`, `task_schema.py` and `lm_schema.py`.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
PositiveInt = Annotated[int, Field(gt=0)]
Name = Annotated[str, Field(min_length=1)]


class Mark(Enum):
    """What a field is besides its type, written into its annotation and read by `locations.is_marked`."""

    MAY_CHANGE = "may differ between the attempts of a run: no output of an LM or a program depends on it"
    CAP = "a cap of the run: raising it lets a run that reached it be resumed"


class Section(BaseModel):
    """A section of the request: unknown keys are errors, and values do not change once checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)
