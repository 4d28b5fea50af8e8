"""Reading all of a list that a store gives in pages."""

from uuid import UUID

import pytest

from backend.core.paging import read_all


class TestReadAll:
    @pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
    async def test_yields_every_row_once_in_order(self, count: int) -> None:
        rows = [UUID(int=number) for number in range(1, count + 1)]

        async def read(*, company: str, after: UUID, limit: int) -> list[UUID]:
            assert company == "ours"
            return [row for row in rows if row > after][:limit]

        pages = [page async for page in read_all(read, key=lambda row: row, limit=2, company="ours")]
        assert [row for page in pages for row in page] == rows
        assert all(1 <= len(page) <= 2 for page in pages)
