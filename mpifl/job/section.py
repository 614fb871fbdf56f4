"""The base of every part of a job: frozen, and closed to unknown keys."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator


class Section(BaseModel):
    """A section of the job file. What is not declared is refused; what is declared cannot change."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        """Take `staleness: constant` for `staleness: {name: constant}`, in every section that has a name."""
        return {"name": value} if isinstance(value, str) and "name" in cls.model_fields else value

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Pydantic takes ``yes`` for 1."""
        if isinstance(value, bool) and info.field_name:
            kind = cls.model_fields[info.field_name].annotation
            if kind is not bool and not any(allowed is True for allowed in get_args(kind)):
                raise ValueError("not a yes-or-no question")
        return value
