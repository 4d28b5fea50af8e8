"""The people of the tests and of the demo, by phone number. Their rows are made by factories; these are their names."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """One of the cast: `role` is what the person may do at `company`."""

    key: str
    name: str
    phone: str
    role: str = "resident"
    company: str | None = None


DEMO_COMPANY = "邻里示范"
OTHER_COMPANY = "远邻充电"

ALICE = Person("alice", "李小爱", "13800000001")
"""Lives beside a pilot station and has an agreement."""
BOB = Person("bob", "王博", "13800000002")
"""Has an agreement too, and wants the slots alice wants."""
CHARLIE = Person("charlie", "陈查理", "13800000003")
"""No agreement: an outsider who charges at the market price."""
WANG = Person("wang", "王师傅", "13800000011", "guard", DEMO_COMPANY)
ZHAO = Person("zhao", "赵单元长", "13800000012", "lead", DEMO_COMPANY)
LI = Person("li", "李运营", "13800000013", "operator", DEMO_COMPANY)
QIAN = Person("qian", "钱运营", "13800000014", "operator", DEMO_COMPANY)
"""The second person who approves what li published."""
SUN = Person("sun", "孙检查", "13800000015", "inspector", DEMO_COMPANY)
ZHOU = Person("zhou", "周运营", "13800000021", "operator", OTHER_COMPANY)
"""Operator of another company: must never see the first one's rows."""

CAST = (ALICE, BOB, CHARLIE, WANG, ZHAO, LI, QIAN, SUN, ZHOU)

FENG = Person("feng", "冯师傅", "13800000016", "guard")
"""A guard of the demo company at one station only; who makes the person says which."""
WU = Person("wu", "吴师傅", "13800000022", "guard", OTHER_COMPANY)
ZHENG = Person("zheng", "郑单元长", "13800000023", "lead", OTHER_COMPANY)
HE = Person("he", "何检查", "13800000024", "inspector", OTHER_COMPANY)
OTHER_STAFF = (ZHOU, WU, ZHENG, HE)
"""Every role at the other company."""
