"""The accent colour, shifted where need be so that text in it can be read (WCAG 2.2 §1.4.3)."""

from dataclasses import dataclass

LIGHT = "#f4f5f7"
DARK = "#1c2129"
_ENOUGH = 4.5
_LINEAR = 0.04045  # up to here sRGB has no gamma (WCAG 2.2, relative luminance)


@dataclass(frozen=True, slots=True)
class Accent:
    """The operator's colour as it is used on light and on dark ground."""

    light: str
    dark: str


def readable_accent(color: str) -> Accent:
    """The nearest shades of `#rrggbb` with a contrast of at least 4.5 : 1 in both themes."""
    return Accent(light=_shade(color, "#000000", LIGHT), dark=_shade(color, "#ffffff", DARK))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2 §1.4.3)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _shade(color: str, towards: str, ground: str) -> str:
    """Mixes in 1/32 more of `towards` until it stands out; all of it always does."""
    shades = (_mix(color, towards, part / 32) for part in range(33))
    return next(shade for shade in shades if contrast(shade, ground) >= _ENOUGH)


def _mix(color: str, other: str, part: float) -> str:
    pairs = zip(_channels(color), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in pairs)


def _luminance(color: str) -> float:
    red, green, blue = (
        value / 12.92 if value <= _LINEAR else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in _channels(color))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
