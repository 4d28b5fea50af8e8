"""Which of two messages is newer, and how many are missing: by (`boot`, `seq`), never by a clock."""

from typing import NamedTuple


class SeqCount(NamedTuple):
    """The newest (`boot`, `seq`) heard, and what of this boot arrived; `lost_before` sums the boots before it."""

    boot: int = -1
    seq: int = -1
    boot_first_seq: int = 0
    boot_received: int = 0
    lost_before: int = 0

    def lost(self) -> int:
        """How many messages are missing so far. Those still on their way count until they come."""
        return max(0, self.lost_before) + self._lost_in_boot()

    def _lost_in_boot(self) -> int:
        return max(0, self.seq - self.boot_first_seq + 1 - self.boot_received) if self.boot >= 0 else 0


def is_newer(*, boot: int, seq: int, than_boot: int, than_seq: int) -> bool:
    """Whether a message follows another one of the same device."""
    return (boot, seq) > (than_boot, than_seq)


def count(seen: SeqCount, *, boot: int, seq: int) -> SeqCount:
    """Count one message that was not counted before (a repeat must not come here).

    `seq` starts at 0 in each boot, so a boot that is first heard at 5 has lost 5; only of the very first boot we hear
    of, which may have run for months, nothing before its first message is missed.
    """
    if seen.boot < 0:
        return SeqCount(boot=boot, seq=seq, boot_first_seq=seq, boot_received=1, lost_before=0)
    if boot > seen.boot:
        return SeqCount(boot=boot, seq=seq, boot_first_seq=0, boot_received=1, lost_before=seen.lost())
    if boot < seen.boot:
        return seen._replace(lost_before=max(0, seen.lost_before - 1))
    first = min(seen.boot_first_seq, seq)
    return seen._replace(seq=max(seen.seq, seq), boot_first_seq=first, boot_received=seen.boot_received + 1)
