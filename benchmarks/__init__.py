"""The cost of a streamed call, compared to a bare floor and to other libraries: `python -m benchmarks`.

The cost of a change, compared to an earlier checkout in the same run::

    git worktree add ../before main
    python -m benchmarks --before ../before --only whole in_flight memory --contenders tokenwire "tokenwire uvloop" --rounds 7

Every contender that uses tokenwire then has a twin, "... before", that imports it from `../before/src`, in the same
environment and the same rounds. The report has a separate table for the pairs, with the median of the rounds' ratios
after / before: whatever slowed the machine down for a while slowed down both of a pair.
"""
