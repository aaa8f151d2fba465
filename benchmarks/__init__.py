"""What a streamed call costs, against the bare floor and against the field: `python -m benchmarks`.

What a change costs, beside the state before it, in one run::

    git worktree add ../before main
    python -m benchmarks --before ../before --only whole in_flight memory --contenders tokenwire "tokenwire uvloop" --rounds 7

Every contender that uses tokenwire then has a twin, "... before", that imports it from `../before/src`, in the same environment
and the same rounds. The report has a table of its own for the pairs, with the median of the rounds' ratios after / before:
what made the machine slow for a while made both of a pair slow.
"""
