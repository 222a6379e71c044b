"""The opening of stores: what is handed to whoever knows the adapters, and what comes back."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from forebay.namespace.options import OptionValues
from forebay.namespace.uri import Scheme, StoreUri
from forebay.stores.contract import Store


@dataclass(frozen=True, slots=True)
class WantedStore:
    """Which store is to be opened: the one at `uri.root`; `uri.key` is not for the opener."""

    uri: StoreUri
    options: OptionValues


OpenStore = Callable[[WantedStore], Awaitable[Store]]
"""Opens a store, in its stack of wrappers.

It need not ask the store anything: `check` does. Raises StoreAway, StoreRefused, StoreMissing,
BadUri, BadOption; what it had opened until then is closed.
"""

Schemes = Mapping[Scheme, OpenStore]
"""The kinds of store there are, and who opens them."""
