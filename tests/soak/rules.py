"""The random rule simulation at length: `make soak` prints the table of section 9 of the contract, and judges it.

Usage: python -m tests.soak.rules [parts for "all rules", default 60000]. Exit status 1 where the rules were not enough.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor

from tests.support.ablations import ABLATED, ALL_RULES, STUCK_ID
from tests.support.rule_sim import RuleSet, Tally, simulate

PARTS, SEEDS_OF = 60_000, 500  # parts for all rules; parts of one seed
LEAST_SHARE = 0.78  # of all parts accepted under all rules; 90 % are good


def main() -> int:
    parts = int(sys.argv[1]) if len(sys.argv) > 1 else PARTS
    print("| Rule set | parts | accepted | share | wrong accepts | s |\n|---|---|---|---|---|---|")
    failed = False
    with ProcessPoolExecutor(max_workers=int(os.environ.get("JOBS", os.cpu_count() or 1))) as pool:
        for rules in (ALL_RULES, STUCK_ID, *ABLATED):
            begun = time.monotonic()
            tally = run(pool, rules, parts if rules is ALL_RULES else parts // 6)
            print(
                f"| {rules.name} | {tally.parts} | {tally.accepted} | {tally.share:.1%} | {len(tally.wrong)} "
                f"| {time.monotonic() - begun:.0f} |",
                flush=True,
            )
            for line in problems(rules, tally):
                failed = True
                print(f"  {line}")
    return failed


def run(pool: Executor, rules: RuleSet, parts: int) -> Tally:
    total = Tally()
    for tally in pool.map(simulate, *_each_seed(rules, max(2, parts // SEEDS_OF))):
        total.add(tally)
    return total


def _each_seed(rules: RuleSet, seeds: int) -> Iterator[list[object]]:
    yield [rules] * seeds
    yield [range(seed, seed + 1) for seed in range(seeds)]
    yield [SEEDS_OF] * seeds


def problems(rules: RuleSet, tally: Tally) -> list[str]:
    """What all rules must not do; the ablated ones are only shown, their counterexamples are tests of their own."""
    if rules not in (ALL_RULES, STUCK_ID):
        return []
    found = tally.wrong[:10]
    if rules is ALL_RULES and not tally.share >= LEAST_SHARE:
        found.append(f"only {tally.share:.1%} of the parts were accepted")
    return found


if __name__ == "__main__":
    sys.exit(main())
