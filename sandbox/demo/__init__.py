"""What the demo consists of: people, stations and prices, as data; `backend.seed` puts it in place."""
