"""The sandbox's trade bill against a published one, and what it refuses."""

import hashlib

from sandbox.wechat_pay.bills import Row, fee_of, render

PUBLISHED_SHA1 = "dcd7ceb3d382a1181798368bb15d8437de46c00f"
"""Announced by the real WeChat Pay for the bill of 2021-01-28 of merchant 1601959334 (three payments of one fen), as
printed in the tests of an open-source client; the bill itself is rendered here from its facts."""
FACTS = (
    ("2021-01-28 17:07:11", "4200000925202101284997714292", "S20210128170702357723"),
    ("2021-01-28 15:35:18", "4200000910202101282955148400", "S20210128153505214586"),
    ("2021-01-28 16:59:46", "4200000926202101281412639609", "S20210128165824499930"),
)


class TestThePublishedBill:
    def test_is_rendered_to_the_byte(self) -> None:
        rows = [
            Row(
                at=at,
                appid="wx81be3101902f7cb2",
                mchid="1601959334",
                transaction_id=transaction,
                out_trade_no=number,
                openid="ofyak5qR_1wYsC99CsWA6R9MJazA",
                trade_type="NATIVE",
                total=1,
                description="for testing",
                attach="cipher code",
                rate="1.00%",
            )
            for at, transaction, number in FACTS
        ]
        assert hashlib.sha1(render(rows)).hexdigest() == PUBLISHED_SHA1

    def test_fees_are_six_per_mille_rounded_to_the_fen(self) -> None:
        assert [fee_of(total) for total in (0, 83, 84, 1000, 12345)] == [0, 0, 1000, 6000, 74_000]
