"""Who asks: accounts, what each was granted, and the secrets that they show."""
