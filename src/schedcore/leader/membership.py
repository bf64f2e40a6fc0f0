"""Gone: the front lets go of it in its next step."""

from typing import Any

Standing = Any
