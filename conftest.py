"""What this repository's own tests and gates need of pytest; nothing of the product lives here."""

pytest_plugins = ["pytester"]
