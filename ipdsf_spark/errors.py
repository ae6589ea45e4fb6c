"""The errors a user of this package can meet.

One base class; a child exists only where somebody catches it. Every message says what was wrong, where, and what would
be right. A malformed *message* of an instrument is not an error here: it becomes a `Rejected` beside the good profiles.
"""


class IpdsfError(Exception):
    """Base of every error this package raises on purpose; the command line prints it without a traceback."""


class ConfigError(IpdsfError):
    """A configuration file, override or command-line value is wrong; raised before any work starts."""


class PrerequisiteError(IpdsfError):
    """Something the host must provide (Java, a compiler, a library) is missing; names the command that installs it."""


class BrokerError(IpdsfError):
    """The embedded Kafka could not be fetched, started or stopped, or an external one cannot be reached."""


class InputError(IpdsfError):
    """A file or folder named by the user does not exist, cannot be read, or holds nothing usable."""


def said_of_arrays(error: Exception) -> str:
    """What is wrong with a file of arrays; numpy's own words on what is none advise to load it unsafely."""
    return "no archive of arrays, or cut" if "pickle" in str(error) else str(error)
