"""The settings: the only reader of the environment. Every name has the prefix LATCHGATE_."""

from settings.loading import load_settings
from settings.model import PREFIX, Settings

__all__ = ("PREFIX", "Settings", "load_settings")
