"""One logical call: checked, routed, tried, and observed.

`request` checks the caller's keywords, `routing` finds who answers, `targets` puts the two together. `attempts` decides
what is tried again, without I/O. `plain` and `streamed` are the two kinds of calls; `stream` is what the latter's caller
iterates, and `states` are the states it goes through. `observers` are told of attempts and ends.
"""
