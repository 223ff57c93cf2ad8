"""What a cap holds back: for the final evaluation, and for the calls that are still in flight.

Not locked: the meter that owns it holds its lock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from statistics import median

from dspytrack.lm.metering.usage import Bill, Tally, to_femto
from dspytrack.results.roles import ROLES

MARGIN = 1.25  # test examples may be longer than those that candidates were scored on
SEEN = 16  # the last calls of a role, by the most expensive of which the next one is estimated
_PROGRAM = tuple(role.name for role in ROLES if role.by_program)


class Reserve:
    """Calls, tokens, USD and seconds that the search may not use."""

    def __init__(self) -> None:
        self.kept = Tally()
        self.seconds = 0.0
        self._program_calls = 0
        self._beside = Tally()
        self._recent: deque[Bill] = deque(maxlen=1)
        self._last: dict[str, deque[Bill]] = {}

    def set_aside(self, baseline: Mapping[str, Tally], seconds: float, window: int) -> None:
        """Set aside what the final evaluation will need, estimated from the baseline and from the candidates so far.

        Demos and longer instructions make each call of the result more expensive than one of the baseline: twice the
        tokens, cost and seconds are set aside, and more once candidates turn out to take more.

        Args:
            baseline: its use by role; the result will make as many calls, and a judge will be asked as often.
            seconds: the baseline's wall time.
            window: how many calls a mean is taken over; at most those that score one candidate.
        """
        self.kept, self._beside = Tally(), Tally()
        for role, used in baseline.items():
            self.kept.include(used)
            if role not in _PROGRAM:
                self._beside.include(used)
        self._program_calls = self.kept.calls - self._beside.calls
        for tally in (self.kept, self._beside):
            tally.prompt_tokens *= 2
            tally.completion_tokens *= 2
            tally.femto_usd *= 2
        self.seconds = 2 * seconds
        self._recent = deque(maxlen=max(1, window))

    def release(self) -> None:
        """Make what was set aside available to the final evaluation."""
        self.kept, self.seconds, self._program_calls = Tally(), 0.0, 0

    def learn(self, bill: Bill) -> None:
        """Learn what a call takes, from one just billed or one billed in an earlier attempt."""
        if bill.timed_out:
            return
        self._last.setdefault(bill.role, deque(maxlen=SEEN)).append(bill)
        if bill.role not in _PROGRAM:
            return
        recent, kept = self._recent, self.kept
        recent.append(bill)
        if not self._program_calls or len(recent) < (recent.maxlen or 0):
            return
        calls = MARGIN * self._program_calls / len(recent)
        prompt = self._beside.prompt_tokens + math.ceil(calls * sum(one.prompt_tokens or 0 for one in recent))
        completion = self._beside.completion_tokens + math.ceil(
            calls * sum(one.completion_tokens or 0 for one in recent)
        )
        if prompt + completion > kept.tokens:
            kept.prompt_tokens, kept.completion_tokens = prompt, completion
        cost = self._beside.femto_usd + to_femto(calls * sum(one.cost_usd or 0.0 for one in recent))
        kept.femto_usd = max(kept.femto_usd, cost)

    def knows(self, role: str) -> bool:
        """Whether a call of the role has been seen."""
        return role in self._last

    def usual_seconds(self, role: str) -> float:
        """The median of a role's last calls, 0 where none is known; a median, so that one that hung does not count."""
        return median(one.seconds or 0.0 for one in self._last[role]) if self._last.get(role) else 0.0

    def for_calls(self, calls: Iterable[tuple[tuple[str, int], int]]) -> Tally:
        """An estimate for calls in flight: each as much as the most expensive of its role's last ones.

        For a call whose prompt is longer than any of those, prompt tokens are added in proportion.

        Args:
            calls: each a role and the length of the prompt in characters, with how many such calls there are.
        """
        found = Tally()
        for (role, chars), count in calls:
            last = self._last.get(role)
            if not last:
                continue
            highest = max(one.tokens or 0 for one in last)
            tokens = highest + _tokens_beyond(last, chars)
            cost = max(one.cost_usd or 0.0 for one in last)
            found.prompt_tokens += count * tokens
            found.femto_usd += count * to_femto(cost * tokens / highest if highest else cost)
        return found


def _tokens_beyond(seen: Iterable[Bill], chars: int) -> int:
    """Prompt tokens of what a call asks beyond the longest of those seen, at the most tokens a character of theirs."""
    measured = [one for one in seen if one.prompt_chars]
    longer_by = chars - max((one.prompt_chars for one in measured), default=chars)
    if longer_by <= 0:
        return 0
    return math.ceil(longer_by * max((one.prompt_tokens or 0) / one.prompt_chars for one in measured))
