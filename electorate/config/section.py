"""What every part of a configuration is."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from electorate.base.visible import is_plain

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]


def _checked(name: str) -> str:
    if not is_plain(name):
        raise ValueError(
            f"{name!r} is not allowed as a name: no control characters, no line ends, no blanks "
            "around it"
        )
    return name


# Of contestants, in any script; as long as the ranking endpoint takes.
DisplayName = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_checked)]


class Section(BaseModel):
    """A part of the configuration: frozen, and a key it does not know is an error."""

    # Infinity and NaN are YAML's, and no number of this project's.
    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )
