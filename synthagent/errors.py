"""Every failure that SynthAgent raises on purpose. One tree, so that a boundary can classify once.

A message names the place (file, line, field) and the way out; `blame` says whose fault an episode's failure is.
"""

from enum import StrEnum


class Blame(StrEnum):
    """Who caused a zero or an unscored episode."""

    AGENT = "agent"
    USER = "user"
    TOOLS = "tools"
    JUDGE = "judge"
    INFRASTRUCTURE = "infrastructure"
    TASK = "task"


class SynthAgentError(Exception):
    """Base of all our errors. `str(error)` is meant for the person at the keyboard."""


class InputError(SynthAgentError):
    """A file or an option is not what it should be: the command stops with exit code 2."""

    def __init__(self, message: str, *, where: str | None = None, way_out: str | None = None):
        self.where, self.way_out = where, way_out
        text = f"{where}: {message}" if where else message
        super().__init__(f"{text} ({way_out})" if way_out else text)


class RunFolderError(SynthAgentError):
    """A run folder is locked, full or damaged."""


class EndpointDown(SynthAgentError):
    """Too many jobs in a row failed for lack of infrastructure."""


class EpisodeFailure(SynthAgentError):
    """An episode could not be played to an end that may be scored. Never a reward (invariant 4)."""

    blame: Blame = Blame.INFRASTRUCTURE

    def __init__(self, message: str, *, reason: str = ""):
        super().__init__(message)
        self.reason = reason or type(self).__name__


class TaskFault(EpisodeFailure):
    """The task itself is broken: a program that does not compile, a result that does not fit its own schema."""

    blame = Blame.TASK


class ToolFailed(EpisodeFailure):
    """A simulated tool could not answer."""

    blame = Blame.TOOLS


class UserFailed(EpisodeFailure):
    """The user simulator could not answer, or broke its own rules."""

    blame = Blame.USER


class JudgeFailed(EpisodeFailure):
    """The judge could not decide."""

    blame = Blame.JUDGE


class ModelFailed(EpisodeFailure):
    """A model endpoint gave no usable answer after all retries: nobody's lack of skill."""

    blame = Blame.INFRASTRUCTURE
