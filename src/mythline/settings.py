"""Settings of the server, from `MYTHLINE_…` variables of the environment.

Where the store is (`MYTHLINE_STORE`) and whether it keeps views (`MYTHLINE_VIEWS`) are settings
of `mythline.open_store`, for the server as for everyone.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """What the server can be told.

    Attributes:
        allowed_hosts: Host names that it answers to, besides `localhost` and IP addresses. In
            the environment, with commas between.
        max_body_size: Bytes that a request may have, from 1 KiB.
    """

    model_config = SettingsConfigDict(env_prefix="MYTHLINE_")

    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    max_body_size: Annotated[int, Field(ge=1024)] = 64 << 20

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value
