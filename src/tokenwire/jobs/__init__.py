"""Many calls, from a file.

`batch` and `abatch` read a file of calls and write a file of results, like `tokenwire batch`. (`map` is a client's method.)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import Batch as Batch, BatchOptions as BatchOptions, Progress as Progress, abatch as abatch, batch as batch

__all__ = ["Batch", "BatchOptions", "Progress", "abatch", "batch"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'tokenwire.jobs' has no attribute {name!r}")
    return getattr(import_module(".run", __name__), name)
