"""What is used of Dagster that it does not promise to keep: the one module that imports private names of it.

Each name stands in ``PRIVATE_NAMES`` with the reason why nothing public does. They are as seen in ``SEEN_IN``; a test
asks for each of them in the installed Dagster, so that an upgrade that moves one fails there and says what it was for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.events import ASSET_CHECK_EVENTS, BATCH_WRITABLE_EVENTS
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, MAX_RETRIES_TAG, WILL_RETRY_TAG
from dagster._core.utils import make_new_run_id
from dagster.components.core.component_tree import ComponentTreeException
from dagster.components.core.context import ComponentDeclLoadContext
from dagster.components.core.decl import (
    ComponentDecl,
    ComponentLoaderDecl,
    DefsFolderDecl,
    YamlDecl,
    build_filesystem_component_decl_from_context,
)
from dagster.components.core.defs_module import ComponentPath, ComponentRootLoc
from dagster.components.resolved.context import ResolutionContext
from dagster_shared.error import DagsterUnresolvableSymbolError
from dagster_shared.yaml_utils import parse_yamls_with_source_position

if TYPE_CHECKING:
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
    from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS

SEEN_IN = "1.13.27"

_STORAGE = "dagster._core.storage.event_log.sqlite.sqlite_event_log"
_EVENTS = "dagster._core.events"
_DECL = "dagster.components.core.decl"

PRIVATE_NAMES: dict[str, tuple[str, str]] = {
    "AssetCheckEvaluationTargetMaterializationData": (
        "dagster._core.definitions.asset_checks.asset_check_evaluation",
        "A check's result for one drop of several names the materialization that it is about.",
    ),
    "PartitionKeyFilter": ("dagster._core.event_api", "The latest result of a check on one drop is asked for by it."),
    "AssetCheckExecutionRecordStatus": (
        "dagster._core.storage.asset_check_execution_record",
        "Tells a check that failed from one that has not ended.",
    ),
    "NOT_FINISHED_STATUSES": (
        "dagster._core.storage.dagster_run",
        "Runs that are queued, starting or at work, whichever statuses Dagster adds.",
    ),
    "AUTO_RETRY_RUN_ID_TAG": ("dagster._core.storage.tags", "Tag of a failed run: the run that Dagster made of it."),
    "MAX_RETRIES_TAG": ("dagster._core.storage.tags", "Tag that keeps Dagster from retrying a command's own run."),
    "WILL_RETRY_TAG": ("dagster._core.storage.tags", "Tag of a failed run that Dagster has promised to make again."),
    "make_new_run_id": ("dagster._core.utils", "A run's id is written down before the run is executed."),
    "ASSET_CHECK_EVENTS": (_EVENTS, "Events about checks have a table of their own beside the index of all runs."),
    "BATCH_WRITABLE_EVENTS": (_EVENTS, "Types of events that Dagster gives its storage many at a time."),
    "SqlEventLogStorageTable": (
        "dagster._core.storage.event_log.schema",
        "The table of events, into which ours writes those of many drops at once.",
    ),
    "SqliteEventLogStorage": (_STORAGE, "Its connections stay open in ours: 600 events take 1.2 s instead of 5.7 s."),
    "SQLITE_BUSY_TIMEOUT_SECONDS": (
        "dagster._core.storage.sqlite",
        "How long such a connection waits for another writer.",
    ),
    "ComponentTreeException": (
        "dagster.components.core.component_tree",
        "What Dagster makes of a wrong declaration; ours names file, line and field.",
    ),
    "ComponentDeclLoadContext": ("dagster.components.core.context", "Carries what resolves a declaration's texts."),
    "ComponentDecl": (_DECL, "A declaration that is not loaded yet."),
    "ComponentLoaderDecl": (_DECL, "A declaration made in Python: where its function is written."),
    "DefsFolderDecl": (_DECL, "The folder of use cases, without those that are left out."),
    "YamlDecl": (_DECL, "A declaration in YAML: its lines."),
    "build_filesystem_component_decl_from_context": (_DECL, "Declarations of one folder below the folder of all."),
    "ComponentPath": ("dagster.components.core.defs_module", "Names a folder of declarations in Dagster's tree."),
    "ComponentRootLoc": ("dagster.components.core.defs_module", "Names the root of Dagster's tree."),
    "ResolutionContext": (
        "dagster.components.resolved.context",
        "Resolves texts; ours leaves all but templates alone.",
    ),
    "DagsterUnresolvableSymbolError": ("dagster_shared.error", "Raised for a `type:` that does not exist."),
    "parse_yamls_with_source_position": ("dagster_shared.yaml_utils", "Reads a declaration with its lines."),
}
"""Name -> the module that has it, and what it is needed for."""

OVERRIDDEN: dict[str, tuple[str, str]] = {
    "dagster.components.core.component_tree:ComponentTree": (
        "_component_decl_tree _get_filesystem_decl _resolve_to_loc augment_component_tree_exception find_root_decl",
        "The tree of declarations says of a wrong one where it is written, and leaves use cases out.",
    ),
    "dagster.components.resolved.context:ResolutionContext": (
        "_resolve_inner_value",
        "Text that is no template stays text.",
    ),
    f"{_STORAGE}:SqliteEventLogStorage": (
        "_connect _db_lock _initdb _initialized_dbs conn_string_for_shard index_connection path_for_shard "
        "run_connection",
        "Connections stay open from one event to the next.",
    ),
    "dagster._core.storage.event_log.sql_event_log:SqlEventLogStorage": (
        "_event_to_row _has_asset_key_col_on_connection _store_asset_event _store_asset_event_tags index_transaction "
        "store_asset_check_event",
        "A column of the index that has been seen is not looked for with each event, and events of many drops are "
        "written together.",
    ),
}
"""Class -> its members that a class of ours overrides or calls, and why."""


def __getattr__(name: str) -> Any:
    # Dagster itself loads this storage only where an instance has one: it takes half a second.
    if name in ("SQLITE_BUSY_TIMEOUT_SECONDS", "SqlEventLogStorageTable", "SqliteEventLogStorage"):
        return getattr(import_module(PRIVATE_NAMES[name][0]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "ASSET_CHECK_EVENTS",
    "AUTO_RETRY_RUN_ID_TAG",
    "BATCH_WRITABLE_EVENTS",
    "MAX_RETRIES_TAG",
    "NOT_FINISHED_STATUSES",
    "OVERRIDDEN",
    "PRIVATE_NAMES",
    "SEEN_IN",
    "SQLITE_BUSY_TIMEOUT_SECONDS",
    "WILL_RETRY_TAG",
    "AssetCheckEvaluationTargetMaterializationData",
    "AssetCheckExecutionRecordStatus",
    "ComponentDecl",
    "ComponentDeclLoadContext",
    "ComponentLoaderDecl",
    "ComponentPath",
    "ComponentRootLoc",
    "ComponentTreeException",
    "DagsterUnresolvableSymbolError",
    "DefsFolderDecl",
    "PartitionKeyFilter",
    "ResolutionContext",
    "SqlEventLogStorageTable",
    "SqliteEventLogStorage",
    "YamlDecl",
    "build_filesystem_component_decl_from_context",
    "make_new_run_id",
    "parse_yamls_with_source_position",
]
