"""`linli simulate week`: a week at a station by the rules of the service itself, on a virtual clock.

What decides is imported, never written again: slots, bookings, walk-ups and moves from `reservations.rules`, waits,
predictions and the queue from `waiting.rules`, locks from `bays.rules`, sessions and overstay from `charging.rules`.
What is here stands in for the rest of the world: people (`demand`), the ground (`ground`), the table of claims with
its constraints (`book`), and the clock (`week`).
"""
