"""Number plates of the Chinese mainland (GA 36-2018): one written form, and what the form tells.

Cameras, residents and guards write one plate in many ways (lower case, full width, dots, spaces). Everything that
compares plates compares the hash of the form made here: only here is decided what "the same plate" is.
"""

import re
import unicodedata
from typing import Literal

from backend.core.errors import Invalid

PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_ALNUM = "A-HJ-NP-Z0-9"  # I and O are never issued: they look like 1 and 0

_ORDINARY = re.compile(rf"[{PROVINCES}][A-HJ-NP-Z][{_ALNUM}]{{5}}")
# Small cars: kind letter first (D A B C E battery, F G H J K other new energy); large cars: kind letter last.
_NEW_ENERGY = re.compile(rf"[{PROVINCES}][A-HJ-NP-Z](?:[A-HJK][{_ALNUM}][0-9]{{4}}|[0-9]{{5}}[A-HJK])")
_SPECIAL = re.compile(rf"[{PROVINCES}][A-HJ-NP-Z][{_ALNUM}]{{4}}[警学挂港澳领试超]")
_EMBASSY = re.compile(r"使[0-9]{6}|[0-9]{6}使")
_ARMED_POLICE = re.compile(rf"WJ[{PROVINCES}]?[{_ALNUM}]{{5}}")
_TEMPORARY = re.compile(rf"[{PROVINCES}][A-HJ-NP-Z](?:临[{_ALNUM}]{{5,6}}|[{_ALNUM}]{{5,6}}临)")
_FORMS = (_ORDINARY, _NEW_ENERGY, _SPECIAL, _EMBASSY, _ARMED_POLICE, _TEMPORARY)

_DOTS = frozenset("·•・‧∙⋅●.")


class PlateUnreadable(Invalid):
    """The text is not a plate that is issued in China. The text itself is not repeated: it may be personal data."""

    code = "plate_unreadable"
    title_en = "The plate cannot be read"
    title_zh = "车牌号无法识别"
    detail_en = (
        "Write the whole plate, as in 京A12345, or 京AD12345 for a new-energy car; the letters I and O are never used."
    )
    detail_zh = "请填写完整车牌号，例如 京A12345，新能源车例如 京AD12345。车牌中不使用字母 I 和 O。"


def normalise(text: str) -> str:
    """Gives the one written form of a plate: half width, upper case, without spaces, dots and dashes.

    Two texts name the same plate exactly when this gives the same form. Raises `PlateUnreadable`.
    """
    plain = unicodedata.normalize("NFKC", text).upper()
    plate = "".join(c for c in plain if c not in _DOTS and unicodedata.category(c) not in ("Zs", "Cc", "Cf", "Pd"))
    if not any(form.fullmatch(plate) for form in _FORMS):
        raise PlateUnreadable
    return plate


def energy_hint(plate: str) -> Literal["nev", "unknown"]:
    """Tells whether a normalised plate has the form of a new-energy plate (green).

    A hint only: early and temporary plates of new-energy cars are not green, so every other form is `unknown`.
    """
    return "nev" if _NEW_ENERGY.fullmatch(plate) else "unknown"


def mask(plate: str) -> str:
    """Shows a plate to people who need not know it: first two characters and the last one, for example `京A****5`."""
    return plate[:2] + "*" * (len(plate) - 3) + plate[-1:]
