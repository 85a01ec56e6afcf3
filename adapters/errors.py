"""Errors of the unlearning methods. They know nothing of HTTP; the gateway maps them.

AdapterError
├── InvalidExample      a forget or retain item that cannot be trained on
│   └── InvalidItem     the same, with its number
├── NothingKnown        a subject that the model says nothing consistent about
├── InvalidConfig       a method configuration outside its bounds
├── UnknownMethod       no method of that name is registered
├── InvalidPlugin       another package's method or objective that cannot be used
├── InvalidArtifact     bytes that are not a well-formed artifact, or not the one that was asked for
├── HardwareUnavailable a device that is not there
├── OutOfMemory         what has to be computed does not fit the device
├── TrainingDiverged    a loss that became NaN or infinite
└── TrainingCancelled   the caller asked the trainer to stop
"""

from __future__ import annotations

from collections.abc import Sequence


class AdapterError(Exception):
    """Base of everything the `adapters` package raises on purpose.

    `public` is the message without what a caller wrote, such as the name of a setting that there is not.
    """

    def __init__(self, message: str = "", *, public: str | None = None) -> None:
        super().__init__(message)
        self.public = message if public is None else public


class InvalidExample(AdapterError):
    """A forget or retain item that cannot be trained on, with the reason in the message."""


class InvalidItem(InvalidExample):
    """One of a set's examples cannot be trained on. Whoever made several examples of one item names that instead."""

    def __init__(self, name: str, position: int, problem: str) -> None:
        """name: of the set, forget or retain. position: of the example in it."""
        super().__init__(f"{name} item {position} {problem}")
        self.name = name
        self.position = position
        self.problem = problem

    def renumbered(self, numbers: Sequence[int]) -> InvalidExample:
        """The same of the item. numbers: for each example of the set the number of its item."""
        return InvalidExample(f"{self.name} item {numbers[self.position]} {self.problem}")


class NothingKnown(AdapterError):
    """The model says nothing consistent about a subject, so there is nothing to train on."""


class InvalidConfig(AdapterError):
    """A method configuration outside its documented bounds."""


def unknown_settings(owner: str, unknown: Sequence[str], known: Sequence[str]) -> InvalidConfig:
    """The error for settings that `owner`, a method or an objective, has not."""
    return InvalidConfig(
        f"{owner} has no setting named {', '.join(map(repr, unknown))}",
        public=f"{owner} has no setting of a name that was given; there is: {', '.join(known)}",
    )


class UnknownMethod(AdapterError):
    """No method of that name is registered; the message lists those that are."""


class InvalidPlugin(AdapterError):
    """Another package's method or objective that cannot be loaded, or whose name is taken."""


class InvalidArtifact(AdapterError):
    """Bytes that are not a well-formed artifact, or whose digest or width is not the expected one."""


class HardwareUnavailable(AdapterError):
    """The device that was asked for is not there."""


class OutOfMemory(AdapterError):
    """What has to be computed does not fit the device, in the smallest parts; the message says what would help."""


class TrainingDiverged(AdapterError):
    """The loss became NaN or infinite; the adapter is not usable."""


class TrainingCancelled(AdapterError):
    """The trainer stopped because its caller asked it to."""
