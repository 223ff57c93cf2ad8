"""The sections of a request that describe a language model. Whether it can be built is checked in `lm/`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from dspytrack.config.base import Mark, Name, Positive, PositiveInt, Section
from dspytrack.config.urls import fault_of


class Price(Section):
    """USD for a million tokens, for a model whose price is not public."""

    input_per_million: Annotated[float, Field(ge=0)]
    output_per_million: Annotated[float, Field(ge=0)]


class LM(Section):
    """A language model: any DSPy model string, or `local` for the embedded one. Keys come from the environment.

    A secret in `options`, such as a header with a key, is written as `${VAR}`: no run shows its value.
    """

    model: Name
    path: str | None = None
    api_base: str | None = None
    api_key_env: str | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    max_tokens: PositiveInt | None = None
    timeout: Annotated[Positive, Mark.MAY_CHANGE] = 120.0
    num_retries: Annotated[int, Field(ge=0), Mark.MAY_CHANGE] = 3
    price: Price | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("api_base")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        why = fault_of(value) if value is not None else None
        if why is not None:
            raise ValueError(f"expected an address such as http://localhost:8000/v1; {why}")
        return value
