"""A process that ends leaves no connection to a provider open."""

from datetime import datetime
from uuid import UUID

from backend.core.services import Services
from backend.notifications import gateways as notification_gateways
from backend.payments import gateways
from backend.payments.gateways import PaymentGateways
from backend.payments.gateways.wechat_pay import WeChatPay
from tests.factories.payments import start_payment


class TestCloseGateways:
    async def test_closes_the_merchants_clients_and_a_later_call_opens_them_again(
        self, company: UUID, alice: UUID, paying: Services, now: datetime
    ) -> None:
        await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)
        gateway = paying.get(PaymentGateways).get("wechat_pay")
        assert isinstance(gateway, WeChatPay)
        (client,) = (each._core._client for each in (client for _, client in gateway._clients.values()))
        await gateways.close_gateways(paying)
        assert client.is_closed
        await start_payment(operator_company_id=company, account_id=alice, services=paying, now=now)
        await gateways.close_gateways(paying)
        assert gateway._clients == {}

    async def test_closes_the_clients_of_messages(self, services: Services) -> None:
        await notification_gateways.close_gateways(services)
        await notification_gateways.close_gateways(services)
