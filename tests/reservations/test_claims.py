async def test_migrates(database):
    from backend.core import db

    assert await db.fetchval("select count(*) from connector_claim") == 0
