"""What the simulated world consists of: its settings, accounts, calendar, honest behaviour and fraud."""
