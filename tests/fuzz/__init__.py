"""Random inputs: damaged data files, argument combinations, whole small runs.

`CALF_FUZZ=100` tries a hundred times as many examples, each time other ones; without it they are
few and always the same. Faults that were found are `@example`s or tests of their own.
"""

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("CALF_FUZZ", "1"))


def examples(count: int) -> settings:
    """How many examples a test tries."""
    return settings(
        max_examples=count * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
