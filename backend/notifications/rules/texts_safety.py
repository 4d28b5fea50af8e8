"""Texts of incidents to residents; `texts` puts them to the others. Keep them in alphabetical order."""

SAFETY_TEXTS: dict[str, tuple[str, str, str, str]] = {
    "all_clear": (
        "险情解除：{station}",
        "现场已确认安全，可以取车。感谢配合。",
        "All clear: {station}",
        "The site is confirmed safe. You may fetch your car. Thank you.",
    ),
    "all_clear_nearby": (
        "险情解除：{station}",
        "{station}险情已解除，可正常前往充电。感谢配合。",
        "All clear: {station}",
        "The incident at {station} is over. You may come and charge as usual. Thank you.",
    ),
    "danger_nearby": (
        "请暂勿前往：{station}",
        "{station}发生安全险情，正在处置。您的预约将另行安排，请勿前往。",
        "Do not come: {station}",
        "There is a safety incident at {station}. Please do not come; your booking will be rearranged.",
    ),
    "danger_neighbours": (
        "附近充电站报警：{station}",
        "您小区附近的{station}发出烟火报警，工作人员正在核实。请勿靠近、勿围观，并让出消防通道。",
        "Fire alarm near you: {station}",
        "{station} near your compound raised a smoke alarm; staff are checking. Keep away and keep fire lanes free.",
    ),
    "danger_neighbours_confirmed": (
        "附近充电站火情：{station}",
        "您小区附近的{station}火情已确认。请关窗，远离现场，让出消防通道，听从现场指挥。",
        "Fire near you: {station}",
        "The fire at {station} near your compound is confirmed. Shut windows, stay away, keep fire lanes free.",
    ),
    "danger_stay_away": (
        "险情：请勿靠近{station}",
        "{station}发生险情，请勿前往取车，工作人员正在处置，解除后将通知您。",
        "Danger: stay away from {station}",
        "There is an incident at {station}. Do not fetch your car; we will tell you when it is over.",
    ),
}
