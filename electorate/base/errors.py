"""The exceptions that users see, by who can mend what: their class decides what is advised.

Anything that is no ElectorateError is a bug of Electorate's own.
"""


class ElectorateError(Exception):
    """Something the user can put right: one line that says what, where and what is allowed.

    The command line prints it without a traceback and exits with code 2.

    Attributes:
        kept: what is not lost by the failure of a command that can go on; empty where going on
            would fail in the same way.
    """

    kept = ""


class StorageError(ElectorateError):
    """A file or an object store cannot be read or written, or what lies there is damaged."""

    kept = "what is written is kept"


class EndpointError(ElectorateError):
    """A model's endpoint is away, or fails."""

    kept = "answers so far are kept"


class WorkLostError(ElectorateError):
    """The processes that did some work died, again and again."""

    kept = "finished work is kept"


class RequestError(ElectorateError):
    """A request that asks for what cannot be: its sender has to change it.

    Its one line is for the sender, without a path of this machine.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)


class UnknownNameError(RequestError):
    """A request that names what is not there."""


class LimitError(RequestError):
    """A request that would go beyond what its sender, or everybody, may have."""


class ConflictError(RequestError):
    """A request that is at odds with what is there."""
