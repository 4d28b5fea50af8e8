"""WeChat Pay APIv3 as a merchant sees it: JSAPI orders, refunds, signed answers and callbacks."""
