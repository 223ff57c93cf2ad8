"""What a run notes for its user besides its result, as sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dspytrack.config.schema import OptimizationRequest
from dspytrack.lm.metering.meter import Meter
from dspytrack.record.store import Record
from dspytrack.results.catalogue import usd
from dspytrack.results.values import Comparison, OptimizationResult
from dspytrack.runs.how_to_resume import resume_command


def without_effect(request: OptimizationRequest) -> Iterator[str]:
    """What the request asks for and this version does not do."""
    if request.registry is not None:
        yield "registry: this version registers no model; the key is kept in the record"
    if "traces" in request.tracking.model_fields_set and request.tracking.traces != "none":
        yield "tracking.traces: this version logs no traces; the key is kept in the record"


def unbilled_calls(meter: Meter) -> Iterator[str]:
    """Calls of which nobody knows what they are billed."""
    under_way, timed_out = meter.in_flight, meter.total.timed_out
    if under_way:
        yield f"{under_way} LM calls were under way at the end; what they are billed is in no figure"
    if timed_out:
        yield f"{timed_out} LM calls timed out; what the provider may charge for them is in no figure"


def differing_baseline(stated: Mapping[str, float], comparison: Comparison | None) -> Iterator[str]:
    """Where stated baseline metrics differ by more than 1 % from what was measured."""
    measured = comparison.baseline.model_dump() if comparison else {}
    for name, value in stated.items():
        found = measured.get(name)
        if found is not None and abs(found - value) > 1e-9 + 0.01 * abs(value):
            yield f"baseline {name}: stated {value:g}, measured {found:g}; the measured one is used"


def kept_after_error(record: Record, result: OptimizationResult) -> str:
    """What of a run that an error ended is kept, and how to resume it."""
    calls, cost = result.total_lm_calls or 0, usd(result.total_cost_usd)
    kept = f"{calls:.0f} LM calls, {cost}, are billed and kept in {record.folder}"
    return f"{kept}; once the error is fixed, resume with: {resume_command(record, result.status)}"
