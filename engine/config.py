"""The one configuration: a frozen model, filled from a file, then the environment, then flags."""

import tomllib
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from onhand.addresses import PORT_DEFAULT, check_address, is_host_and_port
from pydantic import BeforeValidator, ByteSize, Field, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from engine.measures import days_of, exact_bytes, seconds_of
from ledger.core.ids import SHARD_MAX
from ledger.core.limits import EXPLAINED_MAX_DEFAULT, REQUEST_BYTES_MAX
from ledger.journal.connection import Address
from ledger.journal.server_check import Durability

ENVIRONMENT_PREFIX = "ONHAND_"
TIME: Final = BeforeValidator(seconds_of)
DAYS: Final = BeforeValidator(days_of)


class Topic(Enum):
    """What a setting is about, as help and the sample file are ordered."""

    CALLS = "Where it is called"
    JOURNAL = "Journal and durability"
    ROLE = "Primary and standby"
    KEEPING = "Snapshots and history"
    MEMORY = "What is remembered"
    LOAD = "Overload"
    WATCHING = "Metrics and log"


class EngineConfig(BaseSettings):
    """Settings of `onhand serve`; each is a flag, an environment variable (ONHAND_…) and a key of the TOML file."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, frozen=True, extra="forbid")

    host: Annotated[str, Topic.CALLS, Field(description="Address to listen on; only this one.")] = "127.0.0.1"
    port: Annotated[int, Topic.CALLS, Field(ge=0, le=65_535, description="Port to listen on; 0 picks a free one.")] = (
        PORT_DEFAULT
    )
    transport: Annotated[
        Literal["native", "grpcio"],
        Topic.CALLS,
        Field(description="gRPC server: native (Rust, fast) or grpcio (grpc.aio, the reference)."),
    ] = "native"
    advertise: Annotated[
        str,
        Topic.CALLS,
        Field(description="Address at which clients reach this engine, HOST:PORT; empty for the one it listens on."),
    ] = ""
    drain_seconds: Annotated[
        float, Topic.CALLS, TIME, Field(ge=0, le=300, description="How long SIGTERM lets calls finish.")
    ] = 5.0
    journal: Annotated[
        str,
        Topic.JOURNAL,
        Field(description="Journal server, redis://… or unix://…; empty runs an embedded one in the data folder."),
    ] = ""
    durability: Annotated[
        Durability,
        Topic.JOURNAL,
        Field(
            description="What a reply promises: fsync, the write is on disk; replicated, on a replica's disk too; "
            "everysec, it will be on disk within a second."
        ),
    ] = "fsync"
    replicas_min: Annotated[
        int,
        Topic.JOURNAL,
        Field(ge=1, le=16, description="Replicas that must have a write on disk, with durability replicated."),
    ] = 1
    journal_timeout_seconds: Annotated[
        float,
        Topic.JOURNAL,
        TIME,
        Field(gt=0, le=60, description="How long one append may take before its outcome counts as unknown."),
    ] = 5.0
    shard: Annotated[
        int,
        Topic.ROLE,
        Field(ge=0, le=SHARD_MAX, description="Which shard it serves: names its keys in the journal, and its ids."),
    ] = 0
    standby: Annotated[
        bool,
        Topic.ROLE,
        Field(description="Follow the primary and take over when it is gone, instead of starting as the primary."),
    ] = False
    standbys_min: Annotated[
        int,
        Topic.ROLE,
        Field(ge=0, le=16, description="Standbys that should follow; the status warns while there are fewer."),
    ] = 0
    lease_seconds: Annotated[
        float,
        Topic.ROLE,
        TIME,
        Field(
            ge=0.5,
            le=60,
            description="How long the primary's claim holds without renewal: the longest a standby waits to take over.",
        ),
    ] = 3.0
    data_folder: Annotated[
        Path, Topic.KEEPING, Field(description="Folder of snapshots and history, and of the embedded journal.")
    ] = Path("onhand-data")
    checkpoint_seconds: Annotated[
        int,
        Topic.KEEPING,
        TIME,
        Field(ge=0, le=86_400, description="A snapshot is taken after so many seconds with writes; 0 for never."),
    ] = 900
    archive_seconds: Annotated[
        int,
        Topic.KEEPING,
        TIME,
        Field(
            ge=0,
            le=86_400,
            description="A write is archived within so many seconds: what a lost journal costs; 0 for with snapshots.",
        ),
    ] = 30
    checkpoint_journal_bytes: Annotated[
        ByteSize,
        Topic.KEEPING,
        Field(
            ge=1024**2,
            le=1024**4,
            description="A snapshot is taken after so many bytes of journal: they are in the journal server's memory.",
        ),
    ] = ByteSize(1024**3)
    snapshots_kept: Annotated[int, Topic.KEEPING, Field(ge=1, le=100, description="Snapshots that are kept.")] = 2
    history_days: Annotated[
        int,
        Topic.KEEPING,
        DAYS,
        Field(ge=0, le=36_500, description="How long movements can be read after they left the journal."),
    ] = 30
    request_window_seconds: Annotated[
        int,
        Topic.MEMORY,
        TIME,
        Field(
            ge=1,
            le=7 * 86_400,
            description="How long request ids are remembered: some 60 bytes of memory for each write of that time.",
        ),
    ] = 72 * 3_600
    retention_seconds: Annotated[
        int, Topic.MEMORY, TIME, Field(ge=1, le=7 * 86_400, description="How long ended reservations can be read.")
    ] = 3_600
    explained_plans_max: Annotated[
        int, Topic.MEMORY, Field(ge=0, le=1_000_000, description="How many of the last plans keep what explains them.")
    ] = EXPLAINED_MAX_DEFAULT
    group_calls_max: Annotated[int, Topic.LOAD, Field(ge=1, le=65_536, description="Most calls in one group.")] = 4_096
    queue_calls_max: Annotated[
        int,
        Topic.LOAD,
        Field(ge=1, le=1_000_000, description="Most calls that wait for the writer; further ones are refused."),
    ] = 2_048
    queue_bytes_max: Annotated[
        ByteSize,
        Topic.LOAD,
        Field(
            ge=REQUEST_BYTES_MAX,
            le=1024**3,
            description="Most bytes that the requests of waiting calls have; further calls are refused.",
        ),
    ] = ByteSize(16 * 1024**2)
    metrics_port: Annotated[
        int,
        Topic.WATCHING,
        Field(ge=0, le=65_535, description="Port of the Prometheus endpoint, on the same host; 0 for none."),
    ] = 0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Topic.WATCHING,
        Field(description="Least level that is logged: debug, info, warning or error."),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "console", "json"],
        Topic.WATCHING,
        Field(description="Log lines for people (console) or programs (json); auto: people on a terminal."),
    ] = "auto"

    @field_validator("journal")
    @classmethod
    def _is_journal_url(cls, value: str) -> str:
        """Refuse what cannot be a journal's URL; raises ValueError without the value, which may hold a password."""
        if value:
            Address(value)
        return value

    @field_validator("advertise")
    @classmethod
    def _is_address(cls, value: str) -> str:
        """Refuse what clients cannot dial."""
        if value and not is_host_and_port(value):
            check_address(value, "advertise")  # says what to write instead, where that can be told
            raise ValueError("expected HOST:PORT")
        return value

    @model_validator(mode="after")
    def _can_replicate(self) -> Self:
        """Refuse what an embedded journal server cannot do."""
        if not self.journal:
            for name, is_wrong in (("standby", self.standby), ("durability", self.durability == "replicated")):
                if is_wrong:
                    was = getattr(self, name)
                    raise ValueError(f"{name}: expected a journal server of yours (--journal) with {was}, was embedded")
        return self

    @property
    def snapshot_folder(self) -> Path:
        """Where snapshots are."""
        return self.data_folder / "snapshots"

    @property
    def archive_folder(self) -> Path:
        """Where history is that has left the journal."""
        return self.data_folder / "history"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let flags win over the environment, and that over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def topic_of(field: FieldInfo) -> Topic:
    """Return what a setting is about."""
    (found,) = [each for each in field.metadata if isinstance(each, Topic)]
    return found


def kind_of(field: FieldInfo) -> str:
    """Return what a setting is given as, in a word for people."""
    if DAYS in field.metadata:
        return "DAYS"
    if TIME in field.metadata:
        return "TIME"
    kinds: dict[Any, str] = {ByteSize: "SIZE", Path: "FOLDER", int: "NUMBER", bool: "", str: "TEXT"}
    return kinds.get(field.annotation, "NAME")


def default_of(field: FieldInfo) -> str:
    """Return the default of a setting, as it may be written."""
    return exact_bytes(field.default) if field.annotation is ByteSize else str(field.default)


def load_config(file: Path | None, flags: dict[str, Any]) -> EngineConfig:
    """Return the configuration.

    Parameters
    ----------
    file
        TOML file, or None.
    flags
        Values given on the command line, by field.

    Raises
    ------
    pydantic.ValidationError
        A value is wrong; the error names each.
    ValueError
        The file is not there, or is no TOML.
    """
    if file is None:
        return EngineConfig(**flags)
    if not file.is_file():
        raise ValueError(f"config: expected a file, was {file}")

    class FromFile(EngineConfig):
        model_config = SettingsConfigDict(toml_file=file)

    try:
        values = FromFile(**flags)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"config: {file}: {error}") from error
    return EngineConfig.model_construct(**values.model_dump())
