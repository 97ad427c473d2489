"""What a registered model brings along so that others can judge it: figures, plots, a card, and where it came from."""
