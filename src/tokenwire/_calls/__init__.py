"""One logical call: checked, routed, attempted, and observed.

`request` checks the caller's keywords, `routing` finds the backend, `targets` combines the two. `attempts` decides about
retries, without I/O. `whole` and `streamed` are the two kinds of calls; `stream` is what the caller of a streamed call
iterates, and `states` has its states. `observers` are notified of attempts and of the end.
"""
