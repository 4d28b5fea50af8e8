"""Phone numbers: Chinese mobiles in one form, 11 digits without the country code (what the SMS provider takes)."""

import unicodedata

import phonenumbers

from backend.core.errors import Invalid


class PhoneInvalid(Invalid):
    """Not a mobile number of the Chinese mainland; the text is not repeated."""

    code = "phone_invalid"
    title_en = "Not a mobile number"
    title_zh = "手机号无效"
    detail_en = "Give a mobile number of the Chinese mainland, 11 digits, for example 13800000001."
    detail_zh = "请填写中国大陆手机号，共 11 位，例如 13800000001。"


def normalise(text: str) -> str:
    """Return the 11 digits of a mobile number written in any usual way; raises PhoneInvalid.

    Landlines are refused: they cannot receive a code. So are numbers from abroad: the SMS signature is domestic.
    """
    try:
        number = phonenumbers.parse(unicodedata.normalize("NFKC", text), "CN")
    except phonenumbers.NumberParseException as error:
        raise PhoneInvalid(field="phone") from error
    kinds = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE)
    is_mobile = number.country_code == 86 and not number.extension and phonenumbers.number_type(number) in kinds
    if not is_mobile or not phonenumbers.is_valid_number(number):
        raise PhoneInvalid(field="phone")
    return str(number.national_number)


def mask(phone: str) -> str:
    """Show a phone to people who need not know it: 138****0001."""
    return f"{phone[:3]}****{phone[-4:]}"
