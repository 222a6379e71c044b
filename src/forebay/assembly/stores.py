"""The stores: the one place that knows every adapter, and the stack they stand in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

from forebay.namespace.opening import Schemes, WantedStore
from forebay.namespace.options import (
    BANDWIDTH_BUDGET,
    CONNECTION_BUDGET,
    DEADLINE,
    REQUEST_BUDGET,
    S3_ACCESS_KEY_ID,
    S3_CONNECT_TIMEOUT,
    S3_ENDPOINT,
    S3_PATH_STYLE,
    S3_READ_TIMEOUT,
    S3_REGION,
    S3_SECRET_ACCESS_KEY,
    S3_SESSION_TOKEN,
    OptionValues,
)
from forebay.namespace.uri import Scheme
from forebay.stores.contract import Store
from forebay.stores.limited import Limits
from forebay.stores.measured import StoreCounters
from forebay.stores.punctual import Deadlines
from forebay.stores.retrying import Patience
from forebay.stores.stack import StackOptions, stacked


@dataclass(slots=True)
class StoreOpener:
    """Opens stores by their scheme, and knows what was counted for each.

    Attributes:
        environment: what the AWS chain and Hadoop's settings are read from.
    """

    environment: Mapping[str, str] = field(repr=False)
    _counted: "WeakKeyDictionary[Store, StoreCounters]" = field(default_factory=WeakKeyDictionary)

    @property
    def schemes(self) -> Schemes:
        """Who opens which kind."""
        return {
            Scheme.HDFS: self._open_hdfs,
            Scheme.S3: self._open_s3,
            Scheme.FILE: self._open_files,
        }

    def counters_of(self, store: Store) -> StoreCounters:
        """The counters of an opened store; those of nothing for one that is away."""
        return self._counted.get(store) or StoreCounters()

    async def _open_hdfs(self, wanted: WantedStore) -> Store:
        # Imported when the first HDFS is mounted: a node without one starts without its runtime.
        from forebay.stores.hdfs.address import hdfs_options  # noqa: PLC0415
        from forebay.stores.hdfs.store import open_hdfs  # noqa: PLC0415

        options, _ = hdfs_options(wanted.uri.root, wanted.options.store_texts, self.environment)
        return self._stacked(await open_hdfs(options), wanted.options)

    async def _open_s3(self, wanted: WantedStore) -> Store:
        from forebay.stores.object_store.options import S3Options  # noqa: PLC0415
        from forebay.stores.object_store.store import open_object_store  # noqa: PLC0415

        given = wanted.options
        options = S3Options(
            bucket=wanted.uri.authority,
            endpoint=given[S3_ENDPOINT],
            region=given[S3_REGION],
            access_key_id=given[S3_ACCESS_KEY_ID],
            secret_access_key=given[S3_SECRET_ACCESS_KEY],
            session_token=given[S3_SESSION_TOKEN],
            path_style=given[S3_PATH_STYLE],
            connect_timeout=given[S3_CONNECT_TIMEOUT],
            read_timeout=given[S3_READ_TIMEOUT],
        )
        return self._stacked(open_object_store(options, self.environment), given)

    async def _open_files(self, wanted: WantedStore) -> Store:
        from forebay.stores.local_files.store import LocalFilesStore  # noqa: PLC0415

        return self._stacked(LocalFilesStore(Path(wanted.uri.path)), wanted.options)

    def _stacked(self, store: Store, given: OptionValues) -> Store:
        options = StackOptions(
            limits=Limits(
                connections=given[CONNECTION_BUDGET],
                requests_per_second=given[REQUEST_BUDGET],
                bytes_per_second=given[BANDWIDTH_BUDGET],
            ),
            # A store that refuses connections is away as soon as one that is silent.
            patience=Patience(deadline=given[DEADLINE]),
            deadlines=Deadlines(call=given[DEADLINE]),
        )
        counters = StoreCounters()
        whole = stacked(store, options, counters)
        self._counted[whole] = counters
        return whole
