"""The settings: the only reader of the environment. Every name has the prefix LATCHGATE_."""

from settings.listening import listening_host
from settings.loading import load_settings
from settings.model import PREFIX, Settings
from settings.workers import worker_count

__all__ = ("PREFIX", "Settings", "listening_host", "load_settings", "worker_count")
