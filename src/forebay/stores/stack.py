"""The stack of wrappers that every store of a node stands in."""

from dataclasses import dataclass, field

from forebay.stores.contract import Store
from forebay.stores.limited import Limits, limited
from forebay.stores.measured import StoreCounters, measured
from forebay.stores.punctual import Deadlines, punctual
from forebay.stores.retrying import Patience, retrying


@dataclass(frozen=True, slots=True)
class StackOptions:
    """How a store is asked."""

    patience: Patience = field(default_factory=Patience)
    limits: Limits = field(default_factory=Limits)
    deadlines: Deadlines = field(default_factory=Deadlines)


def stacked(store: Store, options: StackOptions, counters: StoreCounters) -> Store:
    """The store in its wrappers.

    From the outside in, as they stand below:

    - *retrying* outside the limits: a retry that waits holds no connection;
    - *limited* outside the measure: waiting for a budget is not the store's slowness, and each
      retry pays for its request;
    - *measured* outside the deadline: each try is a request, and a silent store is counted as
      `store-away`;
    - *punctual* around the store itself: only the store's own time runs against the deadline.
    """
    return retrying(
        limited(
            measured(
                punctual(store, options.deadlines),
                counters,
            ),
            options.limits,
        ),
        options.patience,
    )
