"""The user's metric: built in, a judge, or code of their own."""
