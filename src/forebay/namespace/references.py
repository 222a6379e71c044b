"""References: option values that say where the value is, not what it is."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from forebay.model.errors import BadOption
from forebay.state.contract import Secrets

STORED: Final = "secret:"
"""How a value that is kept encrypted is written in a remembered mount."""

_ENVIRONMENT: Final = "env:"
_FILE: Final = "file:"
_LARGEST_FILE: Final = 64 << 10


class References:
    """Follows references: `env:NAME`, `file:PATH`, and those to stored secrets."""

    def __init__(self, environment: Mapping[str, str], secrets: Secrets) -> None:
        self._environment = environment
        self._secrets = secrets

    async def followed(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The options with each reference replaced by what it leads to.

        Raises:
            BadOption: one leads nowhere.
        """
        return {name: await self._value(name, text) for name, text in texts.items()}

    async def _value(self, name: str, text: str) -> str:
        if text.startswith(_ENVIRONMENT):
            return self._of_environment(name, text)
        if text.startswith(_FILE):
            return await asyncio.to_thread(_of_file, name, text)
        if text.startswith(STORED):
            return await self._of_secrets(name, text)
        return text

    def _of_environment(self, name: str, text: str) -> str:
        value = self._environment.get(text.removeprefix(_ENVIRONMENT))
        if value is None:
            raise BadOption(name, f"{text} is not set in the environment of the node")
        return value

    async def _of_secrets(self, name: str, text: str) -> str:
        value = await self._secrets.get(text.removeprefix(STORED))
        if value is None:
            raise BadOption(name, "its stored value is gone; mount again")
        return value


def is_reference(text: str) -> bool:
    """Whether `text` says where a value is."""
    return text.startswith((_ENVIRONMENT, _FILE, STORED))


def check_given(texts: Mapping[str, str]) -> None:
    """Refuse references that a person may not give.

    Raises:
        BadOption: one leads to a stored secret, which may be another mount's.
    """
    for name, text in texts.items():
        if text.startswith(STORED):
            raise BadOption(name, "begins like a stored secret; use env:NAME or file:PATH")


def shown(texts: Mapping[str, str]) -> dict[str, str]:
    """The options as they may be shown to anybody."""
    return {name: "(stored)" if text.startswith(STORED) else text for name, text in texts.items()}


def _of_file(name: str, text: str) -> str:
    path = Path(text.removeprefix(_FILE))
    try:
        if not path.is_absolute() or not path.is_file():
            raise BadOption(name, f"{text} is no file with an absolute path")
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        value = content.decode()
    except OSError as error:
        raise BadOption(name, f"{text} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadOption(name, f"{text} is not UTF-8 text") from error
    if len(content) > _LARGEST_FILE:
        raise BadOption(name, f"{text} is larger than a value may be")
    return value.removesuffix("\n")
