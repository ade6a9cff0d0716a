"""The one exception that users see."""


class ElectorateError(Exception):
    """Something the user can put right: one line that says what, where and what is allowed.

    The command line prints it without a traceback and exits with code 2.
    """
