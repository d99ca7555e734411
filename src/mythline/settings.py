"""Settings of the server, from `MYTHLINE_…` variables of the environment.

Where the store is (`MYTHLINE_STORE`), whether it keeps views (`MYTHLINE_VIEWS`) and how long it
keeps deleted sessions (`MYTHLINE_TRASH_DAYS`) are settings of `mythline.open_store`, for the
server as for everyone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .ages import parse_age
from .errors import InvalidInput


class Settings(BaseSettings):
    """What the server can be told.

    Attributes:
        agents: The agents that it can run, each `[id=]module:agent`. In the environment, with
            commas between.
        allowed_hosts: Host names that it answers to, besides `localhost` and IP addresses. In
            the environment, with commas between.
        max_body_size: Bytes that a request may have, from 1 KiB.
        prune_older_than: Prune sessions that were last saved longer ago; in the environment as
            `90d`, see `mythline.ages`. Nothing is pruned unless one of the three bounds is set.
        prune_keep: Prune all but so many sessions of an agent, saved last; from 0.
        prune_max_bytes: Prune an agent's oldest sessions until the rest has at most so many bytes.
        prune_every: How often, from a second on.
    """

    model_config = SettingsConfigDict(env_prefix="MYTHLINE_", env_ignore_empty=True)

    agents: Annotated[tuple[str, ...], NoDecode] = ()
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    max_body_size: Annotated[int, Field(ge=1024)] = 64 << 20
    prune_older_than: timedelta | None = None
    prune_keep: Annotated[int | None, Field(ge=0)] = None
    prune_max_bytes: Annotated[int | None, Field(ge=0)] = None
    prune_every: Annotated[timedelta, Field(ge=timedelta(seconds=1))] = timedelta(days=1)

    @field_validator("agents", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("prune_older_than", "prune_every", mode="before")
    @classmethod
    def _read_age(cls, value: object) -> object:
        return parse_age(value) if isinstance(value, str) else value


def read_settings() -> Settings:
    """The settings that the environment has.

    Raises:
        InvalidInput: If one of them can't be; names the variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = [
            f"MYTHLINE_{str(each['loc'][0]).upper()}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
        raise InvalidInput(f"Settings can't be read. {' '.join(wrong)}") from None
