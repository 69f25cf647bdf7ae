"""Block sizes as data: looked up at every launch, measured by an offline command."""

from .config import Config
from .lookup import Explanation, config_override, explain, select

__all__ = ["Config", "Explanation", "config_override", "explain", "select"]
