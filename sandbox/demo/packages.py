"""The demo's packages: what a newcomer can choose on top of the agreement. Prices are ours; each saves against 0.50.

Of 150 kWh in the valley at 0.30 yuan the service fee is 45 yuan, of 200 kWh at 0.45 it is 90 yuan.
"""

from backend.agreements.service.packages import PackageDraft

PACKAGES = (
    PackageDraft(
        code="trial_30",
        name_zh="新居民体验",
        name_en="New-resident trial",
        description_zh="首月30度免服务费，电费照常；到期自动转为按量计费。",
        description_en="30 kWh without service fee in the first month; then pay as you go by itself.",
        kind="trial",
        price_fen=0,
        included_wh=30_000,
        max_periods=1,
    ),
    PackageDraft(
        code="valley_150",
        name_zh="谷段套餐150度",
        name_en="Valley 150 kWh",
        description_zh="每月谷段150度免服务费，月末结算，服务费与套餐费合计不超过0.5元/度。",
        description_en="150 kWh of the valley without service fee a month; with the fee never above 0.5 yuan/kWh.",
        kind="valley",
        price_fen=3900,
        included_wh=150_000,
        bands=("valley",),
    ),
    PackageDraft(
        code="bundle_200",
        name_zh="月度套餐200度",
        name_en="Monthly 200 kWh",
        description_zh="每月任意时段200度免服务费，月末结算，服务费与套餐费合计不超过0.5元/度。",
        description_en="200 kWh at any time without service fee a month; with the fee never above 0.5 yuan/kWh.",
        kind="bundle",
        price_fen=7900,
        included_wh=200_000,
    ),
)
