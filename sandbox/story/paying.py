"""Chapter five: the bills, recomputed from the raw meter readings, and one paid through WeChat Pay."""

from typing import Any

from sandbox.story.arithmetic import Band, bill
from sandbox.story.cast import Story
from sandbox.story.client import Person, wait_for
from sandbox.story.telling import expect, yuan


async def pay(story: Story) -> None:
    """Check both bills to the fen, then pay them."""
    tell = story.teller
    tell.chapter("The bills")
    where = story.booking["connector"]
    mine = await _check_bill(story, story.alice, story.session, where["charger_code"], where["number"], capped=True)
    charger, _, number = story.walk_up["gun"].partition("/")
    theirs = await _check_bill(story, story.charlie, story.walk_up["session"], charger, int(number), capped=False)
    await _pay(story, story.alice, mine)
    await _pay(story, story.charlie, theirs)


async def _check_bill(
    story: Story, person: Person, session: dict[str, Any], charger: str, number: int, *, capped: bool
) -> dict[str, Any]:
    with story.teller.step(f"{person.name}'s bill, recomputed from the raw meter readings") as told:
        order = await wait_for("the bill", lambda: _order(person, session["id"]), timeout_s=60)
        bands = [
            Band(span["band"], span["from_min"], span["to_min"], price["energy_e4"], price["service_e4"])
            for span in story.tariff["spans"]
            for price in story.tariff["prices"]
            if price["band"] == span["band"] and price["user_class"] == ("agreement" if capped else "market")
        ]
        readings = story.meters.readings(charger=charger, connector=number, session_id=session["id"])
        mine = bill(bands, readings, capped=capped)
        for line in order["lines"]:
            got = (line["energy_wh"], line["energy_fee_fen"], line["service_fee_fen"])
            expect(got == mine[line["band"]], f"line {line['band']} equals the story's own {mine[line['band']]}", got)
            told.say(
                f"{line['band']:5} {line['energy_wh']:6} Wh  energy {yuan(line['energy_fee_fen'])}  "
                f"service {yuan(line['service_fee_fen'])}"
            )
        expect(order["energy_wh"] == readings[-1][1] - readings[0][1], "the energy is the meter's", order["energy_wh"])
        for total in ("energy_fee_fen", "service_fee_fen", "energy_wh"):
            expect(order[total] == sum(line[total] for line in order["lines"]), f"the lines add up to {total}", order)
        parts = order["energy_fee_fen"] + order["service_fee_fen"] + order["overstay_fee_fen"]
        total = parts + order["parking_fee_fen"] - order["discount_fen"]
        expect(order["total_fen"] == total, "the parts add up to the total", order)
        if capped:
            cap = order["energy_wh"] * 5000 // 100_000
            expect(order["service_fee_fen"] <= cap, f"the service fee is at most {cap} fen", order["service_fee_fen"])
            expect(len(order["lines"]) == 2, "there is a line for each band crossed", order["lines"])
            told.say(f"service fee {order['service_fee_fen']} fen ≤ cap {cap} fen (0.5 yuan/kWh)")
        told.say(f"{len(readings)} raw readings agree to the fen; total {yuan(order['total_fen'])}, {order['status']}")
    return dict(order)


async def _order(person: Person, session_id: str) -> dict[str, Any] | None:
    session = await person.get(f"/v1/sessions/{session_id}")
    if session["order_id"] is None:
        return None
    order: dict[str, Any] = await person.get(f"/v1/orders/{session['order_id']}")
    expect(order["status"] != "review", "the bill needs no person to look at it", order)
    return order if order["status"] in ("unpaid", "paid", "free") else None


async def _pay(story: Story, person: Person, order: dict[str, Any]) -> None:
    if order["status"] != "unpaid":
        return
    with story.teller.step(f"{person.name} pays through WeChat Pay; its signed callback settles the order") as told:
        code = (await story.sandbox.post("/wechat/login-code", {"phone": person.phone}))["code"]
        await person.call("PUT", "/v1/me/wechat", json={"code": code})
        sheet = await person.post(f"/v1/orders/{order['id']}/pay", {"channel": "wechat_jsapi"})
        package = sheet["parameters"]["package"]
        paid = await story.sandbox.post(f"/wechat/orders/{package.removeprefix('prepay_id=')}/pay")
        expect(paid["total_fen"] == order["total_fen"], "WeChat was asked for the bill's total", paid)
        settled = await wait_for("the order being paid", lambda: _paid(person, order["id"]))
        told.say(f"{yuan(paid['total_fen'])}, transaction {paid['transaction_id']}, order {settled['status']}")


async def _paid(person: Person, order_id: str) -> dict[str, Any] | None:
    order: dict[str, Any] = await person.get(f"/v1/orders/{order_id}")
    return order if order["status"] == "paid" else None
