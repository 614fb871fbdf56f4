"""The base class of every section and component of a job."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""A number that the round protocol holds in 32 bits."""


class Section(BaseModel):
    """A section of the job file: frozen, and without keys beside the declared ones.

    Attributes:
        left_to_plug_ins: The methods that the class leaves to plug-ins, which have to have one of
            them.
    """

    left_to_plug_ins: ClassVar[tuple[str, ...]] = ()
    """The methods that the class leaves to plug-ins, which have to have one of them."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        """Convert `staleness: constant` to `staleness: {name: constant}` if there is a name."""
        return {"name": value} if isinstance(value, str) and "name" in cls.model_fields else value

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse yes and no for other values: pydantic would take ``yes`` for 1."""
        if isinstance(value, bool) and info.field_name:
            kind = cls.model_fields[info.field_name].annotation
            if kind is not bool and not any(allowed is True for allowed in get_args(kind)):
                raise ValueError("this key does not take yes or no")
        return value


def missing_method(kind: type[Section], base: type[Section]) -> str:
    """Return the methods of which a plug-in's class has none and needs one; "" where it has one.

    A class that extends a part of mpifl is left alone: that part may need none.
    """
    between = kind.__mro__[: kind.__mro__.index(base)]
    if any(one.__module__.startswith("mpifl.") for one in between):
        return ""
    methods = base.left_to_plug_ins
    has_one = any(getattr(kind, name) is not getattr(base, name) for name in methods)
    return "" if has_one else " or ".join(methods)
